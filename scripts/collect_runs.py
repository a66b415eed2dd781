"""Collect finished runs into a table: one line a run, and mean and spread for each framework.

python scripts/collect_runs.py docs/results/sample.csv runs/*-sample-*
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

from common.tables import write_csv
from experiments.collected import COLUMNS, read_run
from portproof.system import errors
from portproof.system.command_line import Parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("table", type=Path, metavar="FILE.csv", help="the CSV file to write")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    args = parser.parse_args(argv)
    lines = [read_run(folder) for folder in args.runs]
    lines.sort(key=lambda line: (line["framework"], line["fast"], line["seed"]))
    write_csv(args.table, COLUMNS, lines)
    for framework, fast in dict.fromkeys((line["framework"], line["fast"]) for line in lines):
        alike = [line for line in lines if (line["framework"], line["fast"]) == (framework, fast)]
        top1 = [line["val_top1"] for line in alike]
        seconds = [line["seconds"] for line in alike]
        spread = statistics.stdev(top1) if len(top1) > 1 else float("nan")
        print(
            f"{framework}{' --fast' if fast else ''}: "
            f"top-1 {' '.join(f'{value:.2f}' for value in top1)}, mean "
            f"{statistics.mean(top1):.2f}, standard deviation {spread:.2f}, least {min(top1):.2f}; "
            f"{min(seconds):.0f} to {max(seconds):.0f} s"
        )


if __name__ == "__main__":
    errors.run(main)
