"""Every step of a port, checked in order: is it the same training, and where is it not.

    portproof align --torch-port a/port.py --paddle-port b/port.py --report out
    portproof align --torch-port a/port.py --paddle-port b/port.py --only lr,optimizer

Float64 decides whether both compute the same, float32 shows the rounding that users see. Exit
status: 0 aligned, 1 diverged or an error on one side, 2 wrong usage or bad input.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from portproof.checks import forward
from portproof.cli.options import add_number, add_path, add_results, add_seed, conclude
from portproof.cli.project import NONE, Project, add_named_ports, add_network, add_ports
from portproof.core.inputs import Inputs
from portproof.core.needs import why_not_run
from portproof.core.training_pair import IMAGE_SIZE, TrainingPair
from portproof.core.verdict import CHECKPOINTS, DIVERGED, NOT_RUN, Verdict, timed
from portproof.report import align as align_report
from portproof.report import forward as forward_report
from portproof.report import training as training_report
from portproof.system.command_line import Parser, add_option, names_of
from portproof.worker.client import Sides, kept_running, scratch

STEPS = 6  # more than an epoch of the images that are drawn for it
IMAGES = 100  # of each split, for data and train_data
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
        pair = project.pair(args, folder / "pair")
        verdicts = run(lambda name: check(name, pair, args, project), left_out, args.first)
    return conclude(args, align_report.as_json(verdicts), verdicts)


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__, epilog=f"The checkpoints: {', '.join(CHECKPOINTS)}.")
    add_network(parser, project)
    names = names_of("checkpoint", CHECKPOINTS)
    add_option(parser, "--only", "these checkpoints alone, with commas", names, "NAMES")
    add_option(parser, "--skip", "all checkpoints but these", names, "NAMES")
    add_ports(parser, project)
    add_named_ports(parser)
    add_path(parser, "--data-path", "images for data and train_data (the sample)", "DIR")
    size = f"width and height of those images (recipe), and of the training's ({IMAGE_SIZE})"
    add_number(parser, "--image-size", size, limits=(63, 4096), metavar="PIXELS")
    add_number(parser, "--batch-size", "images of a batch of their loaders (recipe)")
    add_option(parser, "--first", "stop at the first divergence")
    add_path(parser, "--weights", "to start from (drawn)")
    add_number(parser, "--steps", "of training", STEPS, (1, 10_000))
    add_seed(parser)
    add_results(parser)
    args = parser.parse_args(argv)
    project.check(parser, args)
    return args


def choose(only: list[str] | None, skip: list[str] | None) -> dict[str, str]:
    """Return the checkpoints that are not to run, with the reason."""
    others = [name for name in CHECKPOINTS if only and name not in only]
    skipped = dict.fromkeys(skip or [], "left out by --skip")
    return skipped | dict.fromkeys(others, "not among --only")


def run(
    verdict_of: Callable[[str], Verdict], left_out: dict[str, str], first: bool
) -> list[Verdict]:
    """Check the checkpoints in order, and say on standard error how far it is.

    `left_out` are not run, with the reason. `first`: nor are those after the first divergence.
    """
    verdicts: list[Verdict] = []
    reasons = dict(left_out)
    for number, name in enumerate(CHECKPOINTS, 1):
        if name in reasons:
            verdicts.append(Verdict(name, NOT_RUN, why=reasons[name]))
            continue
        print(f"{number}/{len(CHECKPOINTS)} {name} ...", end="", file=sys.stderr, flush=True)
        verdict = timed(name, partial(verdict_of, name))
        print(f" {verdict.verdict}, {verdict.seconds:.1f} s", file=sys.stderr, flush=True)
        mark_downstream(verdict, verdicts)
        verdicts.append(verdict)
        if first and verdict.verdict == DIVERGED:
            reasons = dict.fromkeys(CHECKPOINTS, f"after {name}, which diverged")
    return verdicts


def check(name: str, pair: TrainingPair, args: argparse.Namespace, project: Project) -> Verdict:
    """Return the verdict of one checkpoint, which starts from a common state of its own."""
    pair.folder.mkdir(exist_ok=True)
    pair.begin()
    why = why_not_run(name, pair.sides, pair.about)
    if why is not None:
        return Verdict(name, NOT_RUN, why=why)
    folder = pair.folder.with_name(name)
    if name == "forward":
        return check_forward(pair.sides, folder, args)
    # portproof/checks has a module of each name, with a function that takes the pair.
    check_it = getattr(importlib.import_module(f"portproof.checks.{name}"), f"check_{name}")
    if name in ("data", "train_data"):
        # Of workers, `portproof data` tells.
        images = project.choose(args, folder.with_name(f"{name}-images"), IMAGES, workers=0)
        return check_it(pair.sides, folder, images)
    if name != "metric":
        pair.prepare()
    if name != "training":
        return check_it(pair)
    verdict, records = check_it(pair, args.steps)
    verdict.details = training_report.blocks(records)
    return verdict


def check_forward(sides: Sides, folder: Path, args: argparse.Namespace) -> Verdict:
    """Compare the forward passes as portproof forward does."""
    inputs = Inputs(None, "float32", 2, forward.SIZES, None, args.seed)
    folder.mkdir()
    comparison = forward.compare(sides, folder, inputs, weights=args.weights)
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
