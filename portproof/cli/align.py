"""Every step of a port, checked in order: is it the same training, and where is it not.

    portproof align --torch-port a/port.py --paddle-port b/port.py --report out
    portproof align --torch-port a/port.py --paddle-port b/port.py --only lr,optimizer

Float64 decides whether both compute the same, float32 shows the rounding that users see. Exit
status: 0 aligned, 1 diverged or an error on one side, 2 wrong usage or bad input.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from portproof.checks import forward, training
from portproof.checks.backward import check_backward
from portproof.checks.data import check_data
from portproof.checks.distributed import check_distributed
from portproof.checks.inference import check_inference
from portproof.checks.init import check_init
from portproof.checks.loss import check_loss
from portproof.checks.lr import check_lr
from portproof.checks.metric import check_metric
from portproof.checks.optimizer import check_optimizer
from portproof.checks.resume import check_resume
from portproof.checks.train_data import check_train_data
from portproof.cli.options import add_number, add_path, add_results, add_seed, conclude
from portproof.cli.project import NONE, Project, add_named_ports, add_network, add_ports, sides
from portproof.core import streams
from portproof.core.inputs import Inputs
from portproof.core.needs import why_not_run
from portproof.core.streams import Images
from portproof.core.training_pair import IMAGE_SIZE, TrainingPair
from portproof.core.verdict import CHECKPOINTS, DIVERGED, ERROR, NOT_RUN, Verdict
from portproof.report import align as align_report
from portproof.report import forward as forward_report
from portproof.report import training as training_report
from portproof.system.command_line import Parser
from portproof.system.errors import UserError
from portproof.worker.cache import Records
from portproof.worker.client import Side, kept_running, scratch

STEPS = 6  # more than an epoch of the images that are drawn for it
IMAGES = 100  # of each split, for data and train_data
BY_THEMSELVES = ("forward", "data", "metric", "train_data")  # they need no paired networks
# Checkpoints, each with the earlier ones whose faults show again in it.
FOLLOWS = {
    "backward": ("forward", "loss"),
    "training": ("forward", "loss", "backward", "lr", "optimizer"),
    "train_data": ("data",),  # where it is the same
}


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    left_out = choose(args.only, args.skip)
    with scratch() as folder, kept_running():
        checks = make_checks(args, project, sides(args, project), folder)
        verdicts = run(checks, left_out, args.first)
    return conclude(args, align_report.as_json(verdicts), verdicts)


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__, epilog=f"The checkpoints: {', '.join(CHECKPOINTS)}.")
    add_network(parser, project)
    parser.add_argument(
        "--only", type=names, metavar="NAMES", help="these checkpoints alone, with commas"
    )
    parser.add_argument(
        "--skip", type=names, default=[], metavar="NAMES", help="all checkpoints but these"
    )
    add_ports(parser, project)
    add_named_ports(parser)
    add_path(parser, "--data-path", "images for data and train_data (the sample)", "DIR")
    size = f"width and height of those images (recipe), and of the training's ({IMAGE_SIZE})"
    add_number(parser, "--image-size", size, limits=(63, 4096), metavar="PIXELS")
    add_number(parser, "--batch-size", "images of a batch of their loaders (recipe)")
    parser.add_argument("--first", action="store_true", help="stop at the first divergence")
    add_path(parser, "--weights", "to start from (drawn)")
    add_number(parser, "--steps", "of training", STEPS, (1, 10_000))
    add_seed(parser)
    add_results(parser)
    args = parser.parse_args(argv)
    if args.weights is not None and not args.weights.is_file():
        parser.error(f"--weights {args.weights}: there is no such file")
    if args.data_path is not None and not args.data_path.is_dir():
        parser.error(f"--data-path {args.data_path}: there is no such folder")
    project.check_size(parser, args.image_size, args.model)
    return args


def names(text: str) -> list[str]:
    """Return the checkpoints of a list with commas."""
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in CHECKPOINTS]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or 'nothing'}: no checkpoint; they are {', '.join(CHECKPOINTS)}"
        )
    return chosen


def choose(only: list[str] | None, skip: list[str]) -> dict[str, str]:
    """Return the checkpoints that are not to run, with the reason."""
    reasons = dict.fromkeys(skip, "left out by --skip")
    if only is not None:
        reasons |= {name: "not among --only" for name in CHECKPOINTS if name not in only}
    return reasons


def run(
    checks: dict[str, Callable[[], Verdict]], left_out: dict[str, str], first: bool
) -> list[Verdict]:
    """Run the checkpoints in order, and say on standard error how far it is.

    `left_out` are not run, with the reason. `first`: nor are those after the first divergence.
    """
    verdicts: list[Verdict] = []
    reasons = dict(left_out)
    for number, name in enumerate(CHECKPOINTS, 1):
        if name in reasons:
            verdicts.append(Verdict(name, NOT_RUN, why=reasons[name]))
            continue
        start = time.perf_counter()
        print(f"{number}/{len(CHECKPOINTS)} {name} ...", end="", file=sys.stderr, flush=True)
        try:
            verdict = checks[name]()
        except UserError as error:  # one side failed: the others still run
            verdict = Verdict(name, ERROR, why=str(error))
        except Exception as error:  # a fault of this tool must not hide what the others find
            message = f"this check itself failed: {type(error).__name__}: {error}"
            verdict = Verdict(name, ERROR, why=message)
        verdict.seconds = time.perf_counter() - start
        print(f" {verdict.verdict}, {verdict.seconds:.1f} s", file=sys.stderr, flush=True)
        mark_downstream(verdict, verdicts)
        verdicts.append(verdict)
        if first and verdict.verdict == DIVERGED:
            reasons = dict.fromkeys(CHECKPOINTS, f"after {name}, which diverged")
    return verdicts


def make_checks(
    args: argparse.Namespace, project: Project, sides: dict[str, Side], folder: Path
) -> dict[str, Callable[[], Verdict]]:
    """Return the function of each checkpoint; each starts from a common state of its own."""
    pair = TrainingPair(
        sides,
        folder / "pair",
        args.seed,
        args.weights,
        image_size=args.image_size or max(IMAGE_SIZE, project.smallest(args.model)),
        model=args.model,
        draw=project.draw,
        records=Records(project.records),
    )

    def possible(name: str, check: Callable[[TrainingPair], Verdict]) -> Callable[[], Verdict]:
        def run() -> Verdict:
            pair.folder.mkdir(exist_ok=True)
            pair.begin()
            why = why_not_run(name, sides, pair.about)
            if why is None and name not in BY_THEMSELVES:
                pair.prepare()
            return check(pair) if why is None else Verdict(name, NOT_RUN, why=why)

        return run

    def data(name: str, check: Callable[..., Verdict]) -> Callable[[TrainingPair], Verdict]:
        target = folder / f"{name}-images"
        return lambda pair: check(sides, folder / name, images(args, project, target))

    checks = {
        "init": check_init,
        "forward": lambda pair: check_forward(sides, folder, args),
        "data": data("data", check_data),
        "metric": check_metric,
        "loss": check_loss,
        "backward": check_backward,
        "lr": check_lr,
        "optimizer": check_optimizer,
        "train_data": data("train_data", check_train_data),
        "training": lambda pair: check_training(pair, args.steps),
        "resume": check_resume,
        "distributed": check_distributed,
        "inference": check_inference,
    }
    return {name: possible(name, check) for name, check in checks.items()}


def images(args: argparse.Namespace, project: Project, target: Path) -> Images:
    """Return the images for data and train_data: some of --data-path, or of the sample."""
    size = args.image_size or project.size_of(args.data_path, args.model)
    batch_size = args.batch_size or project.batch_size
    chosen = streams.choose(project.images(args.data_path), target, IMAGES, batch_size)
    return Images(chosen, size, batch_size, args.seed, workers=0)  # workers: portproof data


def check_training(pair: TrainingPair, steps: int) -> Verdict:
    """Compare some steps of training, and draw the losses."""
    verdict, records = training.check_training(pair, steps)
    verdict.details = training_report.blocks(records)
    return verdict


def check_forward(sides: dict[str, Side], folder: Path, args: argparse.Namespace) -> Verdict:
    """Compare the forward passes as portproof forward does."""
    inputs = Inputs(None, "float32", 2, forward.SIZES, None, args.seed)
    (folder / "forward").mkdir()
    comparison = forward.compare(sides, folder / "forward", inputs, weights=args.weights)
    worst = {dtype: forward_report.worst(comparison, dtype) for dtype in ("float64", "float32")}
    verdict = Verdict("forward", **worst, details=forward_report.blocks(comparison))
    if not comparison.aligned:
        verdict.blame(comparison.causes[0])
    return verdict


def mark_downstream(verdict: Verdict, earlier: list[Verdict]) -> None:
    """Give a divergence that an earlier checkpoint explains that checkpoint's cause."""
    if verdict.verdict != DIVERGED:
        return
    diverged = {other.name: other for other in earlier if other.verdict == DIVERGED}
    for name in FOLLOWS.get(verdict.name, ()):
        first = diverged.get(name)
        if first and (verdict.name != "train_data" or first.cause == verdict.cause):
            verdict.cause = f"follows from {name}: {first.cause}"
            verdict.fix = first.fix
            return
