"""Plant a fault in a copy of the Paddle tree, as an exercise in finding it: chapter 8.

    python -m course.plant                      # the exercises
    python -m course.plant loss exercises/loss
    python -m course.plant loss exercises/loss --solution

DIR comes to hold AlexNet-torch, which is right, and AlexNet-paddle, which has one fault. Both have
hidden layers of 32 units in place of 4,096, so that a tool takes seconds.
"""

import difflib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from course.sources import TREES
from portproof.system import errors
from portproof.system.command_line import Parser
from tests.support import planted, planted_data, planted_training
from tests.support.trees import SMALL, Edits, copy_tree

# By the checkpoint at which it shows: a fault of the list in tests/support/planted*.py.
EXERCISES = {
    "right": "",  # none
    "init": "the framework's own start",
    "forward": "square linear not transposed",
    "data": "channels reversed as decoded",
    "metric": "metric averaged over batches",
    "loss": "softmax twice",
    "backward": "graph cut",
    "lr": "schedule not attached",
    "optimizer": "ten times the decay",
    "train_data": "flip of another probability",
    "training": "momentum of batch normalization",
    "resume": "resume loses the velocity",
    "distributed": "gradients averaged twice",
    "inference": "exported in train mode",
}


# By fault, the edits of the Paddle tree and of the torch tree.
EDITS: dict[str, tuple[Edits, Edits]] = {"": ([], [])}
EDITS |= {name: fault[:2] for name, fault in planted.FAULTS.items()}
EDITS |= {name: (fault[1], []) for name, fault in planted_data.DATA_FAULTS.items()}
EDITS |= {name: (fault[0], []) for name, fault in planted_training.FAULTS.items()}
EDITS |= {name: fault[:2] for name, fault in planted_training.PAIRS.items()}


def plant(name: str, folder: Path) -> None:
    """Write both trees of an exercise into `folder`; those that are right may be there already.

    Raises UserError where the folder holds anything else.
    """
    if name == "right" and all((folder / tree).is_dir() for tree in TREES):
        return
    if folder.exists() and any(folder.iterdir()):
        raise errors.UserError(f"{folder}: is not empty; name a new folder, or delete this one")
    paddle, torch = EDITS[EXERCISES[name]]
    copy_tree("paddle", folder / "AlexNet-paddle", [*paddle, *SMALL])
    copy_tree("torch", folder / "AlexNet-torch", [*torch, *SMALL])


def solution(name: str, folder: Path) -> str:
    """Return the diff from a faulty tree to the right one. Raises UserError where there is none."""
    lines = []
    with tempfile.TemporaryDirectory() as desk:
        right = right_tree(name, Path(desk) / "AlexNet-paddle")
        for path in sorted(right.rglob("*.py")):
            file = path.relative_to(right)
            yours = folder / "AlexNet-paddle" / file
            if not yours.is_file():
                raise errors.UserError(f"{folder}: holds no exercise; plant one there first")
            texts = (text.read_text().splitlines() for text in (yours, path))
            difference = difflib.unified_diff(*texts, "yours", f"right: {file}", lineterm="", n=1)
            # Where a part begins stands in the text around it, not in numbers.
            lines += ["..." if line.startswith("@@") else line for line in difference]
    return "\n".join(lines) or "your tree is right"


def right_tree(name: str, target: Path) -> Path:
    """Write the Paddle tree as it should be: with what torch's copy has as well."""
    edits = []
    if name == "training":  # torch has gained a layer, which Paddle needs too, with its own default
        conv = planted.CONV1
        edits = planted.model(conv, conv + ", nn.BatchNorm2D(64, momentum=0.9)")
    return copy_tree("paddle", target, [*edits, *SMALL])


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m course.plant", description=__doc__)
    text = "an exercise (none: list them)"
    parser.add_argument("name", nargs="?", choices=EXERCISES, metavar="NAME", help=text)
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--solution", action="store_true", help="show what is wrong in DIR")
    args = parser.parse_args(argv)
    if args.name is None:
        print("exercises: " + ", ".join(EXERCISES))
        return
    if args.folder is None:
        raise errors.UserError(f"{args.name}: name a new folder for it too")
    if args.solution:
        print(solution(args.name, args.folder))
        return
    plant(args.name, args.folder)
    trees = f"--torch-tree {args.folder}/AlexNet-torch --paddle-tree {args.folder}/AlexNet-paddle"
    if args.name == "right":
        print(f"two small trees without a fault are in {args.folder}; options: {trees}")
        return
    print(f"planted in {args.folder}/AlexNet-paddle; look for it by:")
    print(f"  .venv/bin/python tools/align.py {trees} --only {args.name}")


if __name__ == "__main__":
    errors.run(main)
