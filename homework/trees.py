"""Put a student's four files into a copy of this repository's tree, so that the tools can run it.

The rest of the tree (data, loop over epochs, probe) is AlexNet's, and no file of the student's.
"""

import shutil
from pathlib import Path

from common.paths import ROOT
from tools.probes import Side

HOMEWORK = ROOT / "homework"
GIVEN, STARTER = HOMEWORK / "ResNet-torch", HOMEWORK / "starter"
MODEL = "models/resnet.py"
FILES = (MODEL, "metric.py", "loop.py", "optim.py")  # in the order in which they are written

LOSS = "nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)"
NETWORK = '''"""The network of the homework, by the name that the rest of the tree knows."""

from models.resnet import ResNet18


def AlexNet(num_classes: int = 1000, dropout: float = 0.5):
    return ResNet18(num_classes, width={width})
'''
READ = """

import loop  # noqa: E402, so that a mistake in it shows as soon as the tree is read
"""
ADAPTED = """
import loop  # of the homework: its step and its evaluation take the place of those above


def train_step(model, criterion, optimizer, scheduler, images, labels, scaler, args, *rest):
    return loop.train_step(model, criterion, optimizer, scheduler, images, labels)


def evaluate(model, criterion, loader, device, world_size=1):
    results = loop.evaluate(model, criterion, read_batches(loader, epoch=0, device=device))
    return Evaluation(results, np.zeros(0, np.int64), np.zeros(0, np.float32))
"""


def assemble(framework: str, target: Path, files: dict[str, Path], width: int | None) -> Side:
    """Make a tree of these files of a homework in the folder `target`; return it as a side.

    Its network is that of MODEL with `width` channels in the first stage, or where `width` is None
    a small stand-in.
    """
    tree = ROOT / f"AlexNet-{framework}"
    shutil.copytree(tree, target, ignore=shutil.ignore_patterns("__pycache__"))
    own = {name: file for name, file in files.items() if width is not None or name != MODEL}
    for name, file in own.items():
        shutil.copyfile(file, target / name)
    (target / "models" / "alexnet.py").unlink()
    stand_in = HOMEWORK / "stand_in" / f"for_{framework}.py"
    network = stand_in.read_text() if width is None else NETWORK.format(width=width)
    (target / "models" / "__init__.py").write_text(network + READ)
    train = target / "train.py"
    train.write_text(adapt(train.read_text()))
    return Side(framework, target, own_files=tuple(own))


def adapt(text: str) -> str:
    """Return the text of a train.py that takes its loss, step and evaluation from loop.py."""
    head, main, tail = text.rpartition('\n\nif __name__ == "__main__":')
    if LOSS not in head or not main:
        raise RuntimeError(f"train.py has no {LOSS!r}, or no main block: homework/trees.py is old")
    return head.replace(LOSS, "loop.make_loss(args.label_smoothing)") + ADAPTED + main + tail
