"""Do finished runs agree? Two sets of them, by a test of equivalence with its margin stated.

    portproof runs runs/t0,runs/t1,runs/t2 runs/p0,runs/p1,runs/p2
    portproof runs --a runs/torch-* --b runs/paddle-* --report out
    portproof runs --a output/*/train.log --against 56.522

A run is a run folder or a log: of this project, PaddleClas, timm, torchvision's reference or
AlexNet-Prod (portproof/runs/logs.py), or its result as a plain number. Exit status: 0 they agree; 1
that is not shown: they differ, or the runs are too few to decide; 2 wrong usage or bad input.
"""

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from portproof.cli.options import add_results, write
from portproof.cli.project import NONE, Project
from portproof.core.findings import Report
from portproof.report import runs as runs_report
from portproof.runs import equivalence
from portproof.runs.equivalence import EQUIVALENT
from portproof.runs.logs import ACCURACIES, METRICS, RunLog, read_log
from portproof.system.command_line import Parser, add_option, real
from portproof.system.errors import UserError, show

MARGIN = 0.15  # points: what the official guide accepts on ImageNet
POWERS = (0.8, 0.9)
FINAL, BEST = "final", "best"
EPILOG = """
Equivalent: the 90 % interval of the difference of the means lies inside the margin. Different: it
does not, and the 95 % interval excludes 0. Undecided: the runs are too few to say. State the
margin before you look. 0.15 points is for the 50,000 images of ImageNet; on a small set it is
less than chance: of 10,000 images (CIFAR-10) an accuracy of 90 % has itself a standard error of
0.3 points, and of 400 images one is 0.25 points. Give a wider --margin there. The best epoch of
a run is a lucky one: compare the final ones where you can.
"""


@dataclass(frozen=True)
class Run:
    """One run as it was named, its value at `epoch`, its last epoch; a number has neither."""

    name: str
    value: float
    epoch: int | None = None
    end: int | None = None
    log: RunLog | None = None

    def as_dict(self) -> Report:
        form = self.log.format if self.log else "number"
        return {"run": self.name, "format": form, "epoch": self.epoch, "value": self.value}


Sides = dict[str, list[Run]]  # the runs of each side, by its name


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    """Compare runs by their logs alone; `project` is not needed."""
    args = parse(argv)
    sides = name_sides([[read_run(name, args) for name in side] for side in args.runs])
    for runs in sides.values() if args.epoch in (FINAL, BEST) else ():
        check_alike(runs)
    report = as_json(args, sides)
    print("\n".join(runs_report.as_lines(report)))
    logs = {name: [run.log for run in runs if run.log] for name, runs in sides.items()}
    write(args, report, lambda folder: runs_report.write_page(folder, report, logs))
    return 0 if report["aligned"] else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__, epilog=EPILOG)
    kinds = "runs: folders, logs or plain numbers (accuracies in per cent)"
    group = parser.add_argument_group(kinds)
    group.add_argument("sides", nargs="*", metavar="RUN[,RUN...]", help="the runs of each side")
    for side in ("a", "b"):
        text = f"the runs of side {side}, by themselves"
        group.add_argument(f"--{side}", nargs="+", metavar="RUN", help=text)
    published = "a published value, taken as exact, in place of side b"
    add_option(group, "--against", published, real(0, 1e6), "VALUE")
    group = parser.add_argument_group("what is compared")
    add_option(group, "--metric", "(val_top1)", list(METRICS), default="val_top1")
    epochs = "final, best or a number, from 1 (final)"
    add_option(group, "--epoch", epochs, _epoch, default=FINAL)
    add_option(group, "--ema", "the moving average of the weights, if logged apart")
    margin = f"how far apart they may be and agree ({MARGIN}, of accuracies; a loss needs its own)"
    add_option(group, "--margin", margin, real(1e-9, 1e6), "POINTS")
    claims = "how often a claim may be false (0.05)"
    add_option(group, "--level", claims, real(1e-6, 0.25), "P", 0.05)
    add_results(parser)
    args = parser.parse_args(argv)
    args.runs = _sides(parser, args)
    if args.margin is None and args.metric not in ACCURACIES:
        parser.error(f"--metric {args.metric} needs a --margin; {MARGIN} points is of accuracies")
    args.margin = args.margin or MARGIN
    return args


def _epoch(text: str) -> str | int:
    """An argparse type for final, best or the number of an epoch."""
    if text in (FINAL, BEST):
        return text
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is neither final, best nor a number")
    return int(text)


def _sides(parser: Parser, args: argparse.Namespace) -> list[list[str]]:
    """Return the names of the runs of each side: of two, or of one and a value."""
    by_order = [[name for name in text.split(",") if name] for text in args.sides]
    by_option = [runs for runs in (args.a, args.b) if runs]
    if by_order and by_option:
        parser.error("name the runs of both sides by --a and --b, or of none")
    sides = by_order or by_option
    if len(sides) != (2 if args.against is None else 1):
        parser.error("give the runs of two sides, or of one and --against VALUE")
    if not all(sides):
        parser.error("no run between the commas")
    files = [Path(name).resolve() for side in sides for name in side if os.path.exists(name)]
    for file in files:
        if files.count(file) > 1:
            parser.error(f"{show(file)} is named twice; a run counts once")
    return sides


def read_run(name: str, args: argparse.Namespace) -> Run:
    """Read one run: a log, or a number. Raises UserError where it is neither."""
    if not os.path.exists(name):
        with suppress(argparse.ArgumentTypeError):  # it is no number: a name, then
            return Run(name, real(0, 100 if args.metric in ACCURACIES else 1e6)(name))
    return measure(name, read_log(Path(name)), args.metric, args.epoch, args.ema)


def measure(name: str, log: RunLog, metric: str, when: str | int, ema: bool = False) -> Run:
    """Return the run with its value at an epoch, or the final or best. Raises UserError."""
    values = _values(log, metric, ema)
    if not isinstance(when, int):
        last = max(values)
        step = min(np.diff([0, *sorted(values)]))  # not each epoch need be evaluated
        if log.planned and last + step <= log.planned:
            advice = f"compare all runs at an epoch that they have, as by --epoch {last}"
            raise log.error(f"stopped at epoch {last} of {log.planned}; let it end, or {advice}")
        when = _best(values, metric) if when == BEST else last
    if when not in values:
        raise log.error(f"does not tell {metric} of epoch {when}")
    value = values[when]
    if not np.isfinite(value):
        what = f"{metric} of epoch {when} is {value}"
        raise log.error(f"{what}; a run that broke down cannot be compared")
    return Run(name, value, when, max(values), log)


def _best(values: dict[int, float], metric: str) -> int:
    """Return the epoch of the highest accuracy or the lowest loss."""
    finite = {epoch: value for epoch, value in values.items() if np.isfinite(value)} or values
    choose = max if metric in ACCURACIES else min
    return choose(finite, key=lambda epoch: finite[epoch])


def _values(log: RunLog, metric: str, ema: bool) -> dict[int, float]:
    """Return the metric by epoch. Raises UserError where the log has none."""
    rows = log.average if ema else log.epochs
    if not rows and ema:
        raise log.error("holds no evaluation of a moving average; leave --ema out")
    if not rows:
        raise log.error("holds evaluations of a moving average alone; give --ema")
    values = {epoch: row[metric] for epoch, row in rows.items() if metric in row}
    if not values:
        known = ", ".join(name for name in METRICS if any(name in row for row in rows.values()))
        what = f"a log of {log.format} that does not tell {metric}"
        raise log.error(f"{what}; it tells {known or 'nothing that is compared here'}")
    return values


def name_sides(sides: list[list[Run]]) -> Sides:
    """Name each side by what made its first run, and tell the two apart."""
    logs = [runs[0].log for runs in sides]
    named = zip(logs, "ab", strict=False)
    names = [log.framework or log.format if log else letter for log, letter in named]
    if len(set(names)) < len(names):
        names = [f"{name} ({letter})" for name, letter in zip(names, "ab", strict=True)]
    return dict(zip(names, sides, strict=True))


def check_alike(runs: list[Run]) -> None:
    """Raise UserError where the runs of a side ended at unlike epochs."""
    ends = {run.name: run.end for run in runs if run.log}
    if len(set(ends.values())) > 1:
        listed = ", ".join(f"{show(name)} at {epoch}" for name, epoch in ends.items())
        advice = f"compare them at an epoch that all have, as by --epoch {min(ends.values())}"
        raise UserError(f"the runs of one side end at unlike epochs: {listed}; {advice}")


def as_json(args: argparse.Namespace, sides: Sides) -> Report:
    """Return the result ready for JSON; `runs_needed` is by the power, null where unknown."""
    values = [np.array([run.value for run in runs]) for runs in sides.values()]  # each [runs]
    left = values[0] if args.against is None else args.against
    outcome = equivalence.compare(left, values[-1], args.margin, args.level)
    deviations = list(map(equivalence.deviation, values))
    needed = dict.fromkeys(map(str, POWERS))
    if None not in deviations:
        for power in POWERS:
            needed[str(power)] = equivalence.runs_needed(deviations, args.margin, power, args.level)
    settings = ("metric", "epoch", "margin", "level", "against")
    return {
        "aligned": outcome.verdict == EQUIVALENT,
        **asdict(outcome),
        **{name: getattr(args, name) for name in settings},
        "means": [float(side.mean()) for side in values],
        "deviations": deviations,
        "runs_needed": needed,
        "sides": [{"name": name, "runs": list(map(Run.as_dict, sides[name]))} for name in sides],
    }
