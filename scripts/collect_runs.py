"""Collect finished runs into a table: one line a run, and mean and spread for each framework.

python scripts/collect_runs.py docs/results/sample.csv runs/*-sample-*
"""

import csv
import json
import statistics
from pathlib import Path

from common import errors
from common.args import Parser
from common.run_folder import replace_whole

COLUMNS = (
    "framework", "recipe", "seed", "epochs", "val_top1", "val_top5", "val_loss", "images_per_s",
    "seconds", "processor", "cores", "versions",
)  # fmt: skip


def read_run(folder: Path) -> dict:
    """Return the line of one run: its last epoch's accuracy, the sum of its epochs' seconds.

    Raises UserError where the folder holds no finished run.
    """
    try:
        described = json.loads((folder / "args.json").read_text())
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        arguments, last = described["arguments"], rows[-1]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise errors.UserError(f"{folder}: no run with args.json and metrics.jsonl") from error
    if last["epoch"] != arguments["epochs"]:
        raise errors.UserError(f"{folder}: stopped at epoch {last['epoch']}; resume it first")
    return {
        **{name: arguments[name] for name in ("framework", "recipe", "seed", "epochs")},
        **{name: round(last[name], 4) for name in ("val_top1", "val_top5", "val_loss")},
        "images_per_s": round(statistics.median(row["images_per_s"] for row in rows), 1),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "processor": described["machine"]["processor"],
        "cores": described["machine"]["cores"],
        "versions": " ".join(f"{name}={v}" for name, v in described["versions"].items()),
    }


def main() -> None:
    parser = Parser(description="Collect finished runs into a CSV table.")
    parser.add_argument("table", type=Path, help="the CSV file to write")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    args = parser.parse_args()
    lines = [read_run(folder) for folder in args.runs]
    lines.sort(key=lambda line: (line["framework"], line["seed"]))
    with replace_whole(args.table) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    for framework in dict.fromkeys(line["framework"] for line in lines):
        top1 = [line["val_top1"] for line in lines if line["framework"] == framework]
        seconds = [line["seconds"] for line in lines if line["framework"] == framework]
        spread = statistics.stdev(top1) if len(top1) > 1 else float("nan")
        print(
            f"{framework}: top-1 {' '.join(f'{value:.2f}' for value in top1)}, mean "
            f"{statistics.mean(top1):.2f}, standard deviation {spread:.2f}, least {min(top1):.2f}; "
            f"{min(seconds):.0f} to {max(seconds):.0f} s"
        )


if __name__ == "__main__":
    errors.run(main)
