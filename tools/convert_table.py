"""Hand port against converters: what each changes, takes, leaves, and whether it is aligned.

    python tools/convert_table.py

Converts AlexNet-torch by each converter, finishes it, holds the result and the hand port to the
original by compare_forward and compare_training, and times the training step of each in turn.
Writes docs/results/convert.csv and convert.md. Exit status: 0 done, 2 wrong usage.
"""

import argparse
import csv
import io
import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from common import errors, processor
from common.command_line import Parser, whole
from common.errors import UserError
from common.paths import ROOT
from common.run_folder import package_versions, replace_whole
from common.trees import INSTRUMENTS
from tools.convert import verify
from tools.convert.environments import TITLES
from tools.convert.files import changed, plain
from tools.convert.source import BY_HAND, python_files, read_text
from tools.probes import default_tree, scratch

RESULTS = ROOT / "docs" / "results" / "convert"  # .csv and .md
TIMER = Path(__file__).parent / "convert" / "shipped" / "time_steps.py.txt"
BATCH = 16


@dataclass
class Row:
    """A way from AlexNet-torch to Paddle. Lines are those of Python, without comments, layout."""

    way: str
    files: int
    files_not_written: int
    lines: int
    lines_by_converter: int
    lines_by_rules: int
    lines_by_hand: int
    places_left: int
    seconds: float | None
    aligned: str
    forward_float64: float | None
    training_float64: float | None
    training_float32: float | None
    images_per_s: float | None = None


def main() -> int:
    args = parse()
    source = default_tree("torch")
    with scratch() as folder:
        trees = {"hand": default_tree("paddle")}
        rows = {"hand": by_hand(source, args.steps)}
        for converter in TITLES:
            trees[converter] = folder / converter
            rows[converter] = by_converter(converter, source, trees[converter], args.steps)
        for way, rate in speeds(trees, args.rounds, args.timed).items():
            rows[way].images_per_s = rate
    write(args.output, list(rows.values()), args)
    print(page(list(rows.values()), args))
    return 0


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="convert_table.py",
        description=__doc__,
    )
    parser.add_argument(
        "--steps", type=whole(1, 1000), default=20, metavar="N", help="compared, in training (20)"
    )
    parser.add_argument(
        "--rounds",
        type=whole(1, 100),
        default=3,
        metavar="N",
        help="in which each way is timed in turn (3)",
    )
    parser.add_argument(
        "--timed", type=whole(2, 100), default=6, metavar="N", help="steps of a round (6)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS,
        metavar="STEM",
        help="writes STEM.csv and STEM.md (docs/results/convert)",
    )
    return parser.parse_args()


def by_hand(source: Path, steps: int) -> Row:
    """Count and check AlexNet-paddle, in which every changed line was written by hand."""
    port = default_tree("paddle")
    files = [path.relative_to(source) for path in python_files(source)]
    files = [file for file in files if str(file) not in INSTRUMENTS and (port / file).is_file()]
    texts = [(read_text(source / file), read_text(port / file)) for file in files]
    lines_changed = sum(changed(*pair) for pair in texts)
    lines = sum(len(plain(text)) for text, _ in texts)
    return Row(
        *("by hand (`AlexNet-paddle`)", len(files), 0, lines, 0, 0, lines_changed, 0, None),
        *checked(source, port, "paconvert", steps),
    )


def by_converter(converter: str, source: Path, target: Path, steps: int) -> Row:
    """Convert and check. What is left counts the lines of the places, and of files not written."""
    file = target.with_suffix(".json")
    command = [
        sys.executable,
        ROOT / "tools" / "convert_project.py",
        source,
        target,
        "--json",
        file,
    ]
    done = subprocess.run(
        [str(word) for word in [*command, "--with", converter]],
        capture_output=True,
        text=True,
        env=verify.settings("paconvert"),
    )
    if done.returncode not in (0, 1):
        raise UserError(f"{TITLES[converter]}: {done.stderr.strip()}")
    found = json.loads(file.read_text())
    counts, left = found["counts"], [one for one in found["findings"] if one["kind"] == BY_HAND]
    port = default_tree("paddle")
    unwritten = [one["file"] for one in left if one["rule"] == "not written"]
    places = {(one["file"], one["line"]) for one in left if one["rule"] != "not written"}
    to_write = sum(
        len(plain(read_text(port / name))) for name in unwritten if (port / name).is_file()
    )
    return Row(
        f"{TITLES[converter]}, finished",
        *(counts["files"], counts["not_written"], counts["lines"]),
        *(counts["by_machine"], counts["by_rules"], len(places) + to_write),
        *(len(left), found["seconds"]),
        *checked(source, target, converter, steps),
    )


def checked(source: Path, tree: Path, converter: str, steps: int) -> tuple:
    forward = verify.forward(source, tree, converter)
    training = verify.training(source, tree, converter, steps)
    aligned = "aligned" if forward.aligned and training.aligned else "diverged"
    return aligned, forward.float64, training.float64, training.float32


def speeds(trees: dict[str, Path], rounds: int, steps: int) -> dict[str, float]:
    """Return images a second of the training step, the median over rounds in turn."""
    found: dict[str, list[float]] = {way: [] for way in trees}
    for _ in range(rounds):
        for way, tree in trees.items():
            own = verify.settings("x2paddle" if way == "x2paddle" else "paconvert")
            python = own.get("PADDLE_PYTHON") or sys.executable
            done = subprocess.run(
                [python, "-W", "ignore", str(TIMER), str(tree), str(BATCH), str(steps)],
                capture_output=True,
                text=True,
                env=own | {"OMP_NUM_THREADS": str(processor.available_cores())},
            )
            if done.returncode:
                raise UserError(f"{way}: {done.stderr.splitlines()[-1]}")
            seconds = json.loads(done.stdout.splitlines()[-1])[1:]  # the first one warms up
            found[way].append(BATCH / statistics.median(seconds))
    return {way: statistics.median(rates) for way, rates in found.items()}


def write(stem: Path, rows: list[Row], args: argparse.Namespace) -> None:
    """Write the table as CSV and as a page, each whole or not at all."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [one.name for one in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    for ending, text in ((".csv", buffer.getvalue()), (".md", page(rows, args))):
        with replace_whole(stem.with_suffix(ending)) as partial:
            partial.write_text(text)


def page(rows: list[Row], args: argparse.Namespace) -> str:
    """Return the table in Markdown, with how it was made."""
    _, model, _ = processor.describe()
    versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    lines = [
        "# AlexNet from PyTorch to PaddlePaddle: by hand, by PaConvert, by X2Paddle",
        "",
        "`AlexNet-torch`, without the files by which the tools look at it (`probe.py`, "
        "`rehearsal.py`, `recordings.py`, `layers.py`, which a converted copy takes from "
        "`AlexNet-paddle`). Lines are statements of Python: comments and layout do not count. "
        "*Converter* is what it changed (X2Paddle: with what is exchanged before, so that it takes "
        "the file), *rules* what `tools/convert_project.py` changed after it, *by hand* what it "
        "leaves: a line for each place, and the hand port's lines of a file that was not written. "
        "*Forward* and *training* are the largest relative differences from the original, in "
        "float64, over all "
        f"layers and {args.steps} steps.",
        "",
        "```",
        "python tools/convert_table.py",
        "```",
        "",
        f"{versions}; {model}, {processor.available_cores()} cores that other work shared; the "
        f"step: batch {BATCH}, 224 pixels, float32, median of {args.rounds} rounds in turn.",
        "",
        "| way | files not written | lines | converter | rules | by hand | seconds | verdict | "
        "forward | training | images/s of the step |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            *(row.way, f"{row.files_not_written} of {row.files}", row.lines),
            *(row.lines_by_converter, row.lines_by_rules, row.lines_by_hand),
            *("" if row.seconds is None else f"{row.seconds:.1f}", row.aligned),
            *("" if v is None else f"{v:.1e}" for v in (row.forward_float64, row.training_float64)),
            "" if row.images_per_s is None else f"{row.images_per_s:.1f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    errors.run(main)
