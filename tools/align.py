"""Every step of a port, checked in order: is it the same training, and where is it not.

    python tools/align.py                                    # this repository's two trees
    python tools/align.py --paddle-tree my-copy --report out
    python tools/align.py --only lr,optimizer

Float64 decides whether both compute the same, float32 shows the rounding that users see. Exit
status: 0 aligned, 1 diverged or an error on one side, 2 wrong usage or bad input.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common import errors, networks, sample
from common.args import LARGEST_SEED, refuse_too_small
from common.command_line import Parser, whole
from common.errors import UserError
from common.recipes import RECIPES
from common.run_folder import package_versions, write_result
from tools import (
    align_report,
    data_checks,
    data_streams,
    distributed_check,
    forward,
    forward_report,
    inference_check,
    models,
    resume_check,
    small_checks,
    training_checks,
    training_report,
)
from tools.data_streams import Pictures
from tools.probes import FRAMEWORKS, Side, add_trees, kept_running, scratch
from tools.rehearsals import IMAGE_SIZE, Rehearsals
from tools.verdicts import ALIGNED, CHECKPOINTS, DIVERGED, ERROR, NOT_RUN, Verdict

STEPS = 6  # more than an epoch of the pictures that are drawn for it
PICTURES = 100  # of each split, for data and train_data
# A checkpoint whose fault shows again in later ones; there it is told as what follows from it.
FOLLOWS = {
    "backward": ("forward", "loss"),
    "training": ("forward", "loss", "backward", "lr", "optimizer"),
    "train_data": ("data",),  # where it is the same
}


def main() -> int:
    args = parse()
    chosen = choose(args.only, args.skip)
    with scratch() as folder, kept_running():
        verdicts = run(args, folder, chosen)
    found = as_json(verdicts)
    print(align_report.as_text(found, verdicts))
    if args.json:
        write_result(args.json, found)
    if args.report:
        print(f"look at: {align_report.write_page(args.report, found, verdicts)}")
    return 0 if found["aligned"] else 1


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="align.py",
        description=__doc__,
        epilog=f"The checkpoints: {', '.join(CHECKPOINTS)}.",
    )
    models.add_model(parser)
    parser.add_argument(
        "--only", type=names, metavar="NAMES", help="these checkpoints alone, with commas"
    )
    parser.add_argument(
        "--skip", type=names, default=[], metavar="NAMES", help="all checkpoints but these"
    )
    add_trees(parser)
    parser.add_argument(
        "--data-path",
        type=Path,
        metavar="DIR",
        help="pictures for data and train_data (the sample)",
    )
    parser.add_argument(
        "--image-size",
        type=whole(63, 4096),
        metavar="PIXELS",
        help=f"width and height of those pictures (recipe), and of the training's ({IMAGE_SIZE})",
    )
    parser.add_argument(
        "--batch-size",
        type=whole(1),
        metavar="N",
        help="pictures of a batch of their loaders (recipe)",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="to start from (drawn)")
    parser.add_argument(
        "--steps", type=whole(1, 10_000), default=STEPS, metavar="N", help=f"of training ({STEPS})"
    )
    parser.add_argument(
        "--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N", help="of all draws (0)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page to look at")
    args = parser.parse_args()
    if args.weights is not None and not args.weights.is_file():
        parser.error(f"--weights {args.weights}: there is no such file")
    if args.data_path is not None and not args.data_path.is_dir():
        parser.error(f"--data-path {args.data_path}: there is no such folder")
    if args.image_size is not None:
        refuse_too_small(parser, args.image_size, args.model)
    return args


def names(text: str) -> list[str]:
    """Return the checkpoints of a list with commas."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in found if name not in CHECKPOINTS]
    if unknown or not found:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or 'nothing'}: no checkpoint; they are {', '.join(CHECKPOINTS)}"
        )
    return found


def choose(only: list[str] | None, skip: list[str]) -> dict[str, str | None]:
    """Return for every checkpoint None if it is to run, else why not."""
    found: dict[str, str | None] = {}
    for name in CHECKPOINTS:
        if only is not None and name not in only:
            found[name] = "not among --only"
        elif name in skip:
            found[name] = "left out by --skip"
        else:
            found[name] = None
    return found


def run(args: argparse.Namespace, folder: Path, chosen: dict[str, str | None]) -> list[Verdict]:
    """Run the chosen checkpoints in order, and say on standard error how far it is."""
    options = ["--model", args.model]
    sides = {
        name: Side(name, getattr(args, f"{name}_tree"), options=options) for name in FRAMEWORKS
    }
    checks = make_checks(args, sides, folder)
    verdicts: list[Verdict] = []
    for number, name in enumerate(CHECKPOINTS, 1):
        why = chosen[name]
        if why is not None:
            verdicts.append(Verdict(name, NOT_RUN, why=why))
            continue
        start = time.perf_counter()
        print(f"{number}/{len(CHECKPOINTS)} {name} ...", end="", file=sys.stderr, flush=True)
        try:
            verdict = checks[name]()
        except UserError as error:  # one side failed: the others still run
            verdict = Verdict(name, ERROR, why=str(error))
        except Exception as error:  # a fault of this tool must not hide what the others find
            told = f"this check itself failed: {type(error).__name__}: {error}"
            verdict = Verdict(name, ERROR, why=told)
        verdict.seconds = time.perf_counter() - start
        print(f" {verdict.verdict}, {verdict.seconds:.1f} s", file=sys.stderr, flush=True)
        note_what_follows(verdict, verdicts)
        verdicts.append(verdict)
    return verdicts


def make_checks(
    args: argparse.Namespace, sides: dict[str, Side], folder: Path
) -> dict[str, Callable[[], Verdict]]:
    """Return the function of each checkpoint; each starts from a common state of its own."""
    smallest = networks.SMALLEST[args.model]
    rehearsals = Rehearsals(
        sides,
        folder / "rehearsals",
        args.seed,
        args.weights,
        image_size=args.image_size or max(IMAGE_SIZE, smallest),
        model=args.model,
    )

    def rehearsed(check: Callable[[Rehearsals], Verdict]) -> Callable[[], Verdict]:
        def prepared() -> Verdict:
            if not rehearsals.networks:
                rehearsals.folder.mkdir(exist_ok=True)
                rehearsals.prepare()
            return check(rehearsals)

        return prepared

    def data(check: Callable[..., Verdict], name: str) -> Callable[[], Verdict]:
        return lambda: check(sides, folder / name, pictures(args, folder / f"{name}-pictures"))

    return {
        "init": rehearsed(small_checks.check_init),
        "forward": lambda: check_forward(sides, folder, args),
        "data": data(data_checks.check_data, "data"),
        "metric": rehearsed(small_checks.check_metric),
        "loss": rehearsed(small_checks.check_loss),
        "backward": rehearsed(training_checks.check_backward),
        "lr": rehearsed(small_checks.check_lr),
        "optimizer": rehearsed(training_checks.check_optimizer),
        "train_data": data(data_checks.check_train_data, "train_data"),
        "training": rehearsed(lambda given: check_training(given, args.steps)),
        "resume": rehearsed(resume_check.check_resume),
        "inference": rehearsed(inference_check.check_inference),
        "distributed": rehearsed(distributed_check.check_distributed),
    }


def pictures(args: argparse.Namespace, target: Path) -> Pictures:
    """Return the pictures for data and train_data: some of --data-path, or of the sample."""
    recipe = RECIPES["imagenet" if args.data_path else "sample"]
    size = args.image_size or max(recipe.image_size, networks.SMALLEST[args.model])
    batch_size = args.batch_size or recipe.batch_size
    source = args.data_path or sample.ensure()
    chosen = data_streams.choose(source, target, PICTURES, batch_size)
    return Pictures(chosen, size, batch_size, args.seed, workers=0)  # workers: compare_data.py


def check_training(rehearsals: Rehearsals, steps: int) -> Verdict:
    """Compare some steps of training, and draw the losses."""
    verdict, records = training_checks.check_training(rehearsals, steps)
    verdict.details = training_report.blocks(records)
    return verdict


def check_forward(sides: dict[str, Side], folder: Path, args: argparse.Namespace) -> Verdict:
    """Compare the forward passes as tools/compare_forward.py does."""
    inputs = forward.Inputs(None, "float32", 2, forward.SIZES, None, args.seed)
    (folder / "forward").mkdir()
    found = forward.compare(sides, folder / "forward", inputs, weights=args.weights)
    verdict = Verdict("forward")
    verdict.float64 = forward_report.worst(found, "float64")
    verdict.float32 = forward_report.worst(found, "float32")
    if not found.aligned:
        cause = found.causes[0]
        verdict.diverge(cause.where, cause.cause, cause.fix)
    verdict.details = forward_report.blocks(found)
    return verdict


def note_what_follows(verdict: Verdict, earlier: list[Verdict]) -> None:
    """Give a divergence that an earlier checkpoint explains that checkpoint's cause."""
    if verdict.verdict != DIVERGED:
        return
    for name in FOLLOWS.get(verdict.name, ()):
        first = next((one for one in earlier if one.name == name), None)
        same = verdict.name != "train_data" or (first is not None and first.cause == verdict.cause)
        if first is not None and first.verdict == DIVERGED and same:
            verdict.cause = f"follows from {name}: {first.cause}"
            verdict.fix = first.fix
            return


def as_json(verdicts: list[Verdict]) -> dict:
    """Return the result ready for JSON."""
    bad = [one for one in verdicts if one.verdict in (DIVERGED, ERROR)]
    diverged = [one.name for one in bad if one.verdict == DIVERGED]
    return {
        "aligned": not bad and any(one.verdict == ALIGNED for one in verdicts),
        "checkpoints": [one.as_dict() for one in verdicts],
        "first_divergence": diverged[0] if diverged else None,
        "versions": package_versions(),
    }


if __name__ == "__main__":
    errors.run(main)
