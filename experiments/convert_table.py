"""Hand port against converters: what each changes, takes, leaves, and whether it is aligned.

    python tools/convert_table.py

Converts AlexNet-torch by each converter, finishes it, holds the result and the hand port to the
original by compare_forward and compare_training, and times the training step of each in turn.
Writes docs/results/convert.csv and convert.md. Exit status: 0 done, 2 wrong usage.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.paths import ROOT
from experiments import pages
from portproof.cli.options import add_number
from portproof.cli.verify import Verification
from portproof.convert.environments import TITLES, Environment
from portproof.convert.files import changed, plain
from portproof.convert.source import BY_HAND
from portproof.convert.texts import python_files, read_text
from portproof.port import PORT
from portproof.system import errors, processor
from portproof.system.command_line import Parser, add_option
from portproof.system.errors import UserError
from portproof.worker.client import scratch
from tools.project import PORTS, PROJECT

RESULTS = ROOT / "docs" / "results" / "convert"  # .csv and .md
TIMER = Path(__file__).parent / "shipped" / "time_steps.py.txt"
SOURCE, HAND_PORT = (PORTS[framework].parent for framework in ("torch", "paddle"))
BATCH = 16


@dataclass
class Row:
    """A way from AlexNet-torch to Paddle. Lines are those of Python, without comments, layout."""

    way: str
    files: int = 0
    files_not_written: int = 0
    lines: int = 0
    lines_by_converter: int = 0
    lines_by_rules: int = 0
    lines_by_hand: int = 0
    places_left: int = 0
    seconds: float | None = None
    aligned: str = ""
    forward_float64: float | None = None
    training_float64: float | None = None
    training_float32: float | None = None
    images_per_s: float | None = None


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    with scratch() as folder:
        trees = {"hand": HAND_PORT}
        rows = {"hand": by_hand(args.steps)}
        for converter in TITLES:
            trees[converter] = folder / converter
            rows[converter] = by_converter(converter, trees[converter], args.steps)
        for way, rate in speeds(trees, args.rounds, args.timed).items():
            rows[way].images_per_s = rate
    shown = list(rows.values())
    (page,) = pages.write_table(args.output, "convert", shown, args=args, batch=BATCH)
    print(page.read_text(encoding="utf-8"))
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="convert_table.py", description=__doc__)
    add_number(parser, "--steps", "compared, in training", 20, (1, 1000))
    add_number(parser, "--rounds", "in which each way is timed in turn", 3, (1, 100))
    add_number(parser, "--timed", "steps of a round", 6, (2, 100))
    text = f"writes STEM.csv and STEM.md ({RESULTS.relative_to(ROOT)})"
    add_option(parser, "--output", text, Path, "STEM", RESULTS)
    return parser.parse_args(argv)


def by_hand(steps: int) -> Row:
    """Count and check AlexNet-paddle, in which every changed line was written by hand."""
    files = [path.relative_to(SOURCE) for path in python_files(SOURCE)]
    files = [file for file in files if str(file) != PORT and (HAND_PORT / file).is_file()]
    texts = [(read_text(SOURCE / file), read_text(HAND_PORT / file)) for file in files]
    row = Row("by hand (`AlexNet-paddle`)", len(files))
    row.lines = sum(len(plain(text)) for text, _ in texts)
    row.lines_by_hand = sum(changed(*pair) for pair in texts)
    check(row, HAND_PORT, Environment("paconvert", ROOT), steps)
    return row


def by_converter(converter: str, target: Path, steps: int) -> Row:
    """Convert and check. What is left counts the lines of the places, and of files not written."""
    file = target.with_suffix(".json")
    tool = ROOT / "tools" / "convert_project.py"
    command = [sys.executable, tool, SOURCE, target, "--json", file, "--with", converter]
    run(command, Environment("paconvert", ROOT).variables(), TITLES[converter], worst=1)
    conversion = json.loads(file.read_text())
    counts = conversion["counts"]
    left = [finding for finding in conversion["findings"] if finding["kind"] == BY_HAND]
    unwritten = [finding["file"] for finding in left if finding["rule"] == "not written"]
    places = {(place["file"], place["line"]) for place in left if place["rule"] != "not written"}
    to_write = [HAND_PORT / name for name in unwritten if (HAND_PORT / name).is_file()]
    row = Row(
        way=f"{TITLES[converter]}, finished",
        files=counts["files"],
        files_not_written=counts["not_written"],
        lines=counts["lines"],
        lines_by_converter=counts["by_machine"],
        lines_by_rules=counts["by_rules"],
        lines_by_hand=len(places) + sum(len(plain(read_text(path))) for path in to_write),
        places_left=len(left),
        seconds=conversion["seconds"],
    )
    check(row, target, Environment(converter, ROOT), steps)
    return row


def check(row: Row, tree: Path, environment: Environment, steps: int) -> None:
    """Compare a tree with the original, and note in its row what comes out."""
    verification = Verification(SOURCE, tree, environment, PROJECT)
    forward, training = verification.forward(), verification.training(steps)
    row.aligned = "aligned" if forward.aligned and training.aligned else "diverged"
    row.forward_float64 = forward.float64
    row.training_float64, row.training_float32 = training.float64, training.float32


def speeds(trees: dict[str, Path], rounds: int, steps: int) -> dict[str, float]:
    """Return images a second of the training step, the median over rounds in turn."""
    rates: dict[str, list[float]] = {way: [] for way in trees}
    for _ in range(rounds):
        for way, tree in trees.items():
            converter = "x2paddle" if way == "x2paddle" else "paconvert"
            variables = Environment(converter, ROOT).variables()
            variables["OMP_NUM_THREADS"] = str(processor.available_cores())
            python = (os.environ | variables).get("PADDLE_PYTHON") or sys.executable
            command = [python, "-W", "ignore", TIMER, tree, BATCH, steps]
            printed = run(command, variables, way)
            seconds = json.loads(printed.splitlines()[-1])[1:]  # the first one warms up
            rates[way].append(BATCH / statistics.median(seconds))
    return {way: statistics.median(rates_of_way) for way, rates_of_way in rates.items()}


def run(command: list[object], variables: dict[str, str], title: str, worst: int = 0) -> str:
    """Return what a program prints. Raises UserError where its exit status is above `worst`."""
    words, environment = [str(word) for word in command], os.environ | variables
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if not 0 <= done.returncode <= worst:
        raise UserError(f"{title}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


if __name__ == "__main__":
    errors.run(main)
