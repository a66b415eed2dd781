"""Compare the logs of finished runs: loss and accuracy over each other, and whether they agree.

    python tools/compare_runs.py runs/torch-sample-A runs/paddle-sample-B
    python tools/compare_runs.py runs/t0,runs/t1,runs/t2 runs/p0,runs/p1,runs/p2 --report out

Several runs of each side, joined by commas, tell seed noise: the last accuracies are then compared
by Welch's t-test. Exit status: 0 within seed noise, or one run each; 1 beyond it; 2 wrong usage.
"""

import argparse
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from common import errors, plots
from common.args import Parser
from common.errors import UserError
from common.run_folder import write_result
from tools import align_report
from tools.verdicts import ALIGNED, DIVERGED, Verdict

METRICS = ("train_loss", "val_loss", "val_top1", "val_top5")
CHANCE = 0.05  # below it, the difference is beyond seed noise
COLORS = ("#b3261e", "#1f4e9c")


@dataclass(frozen=True)
class Runs:
    """The runs of one side: what they are, and their metrics, one array [runs, epochs] each."""

    name: str
    folders: list[Path]
    metrics: dict[str, np.ndarray]

    @property
    def epochs(self) -> int:
        return self.metrics[METRICS[0]].shape[1]


def main() -> int:
    args = parse()
    sides = [read(text) for text in args.runs]
    verdict = Verdict("runs")
    found = compare(*sides, verdict)
    verdict.details = blocks(*sides)
    print(as_text(*sides, found))
    if args.json:
        write_result(args.json, found)
    if args.report:
        page = {"aligned": found["within_noise"] is not False, "first_divergence": None}
        page["versions"] = {}
        print(f"look at: {align_report.write_page(args.report, page, [verdict])}")
    return 1 if found["within_noise"] is False else 0


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="compare_runs.py", allow_abbrev=False, description="Compare the logs of finished runs."
    )
    parser.add_argument("runs", nargs=2, metavar="RUN[,RUN...]", help="run folders of each side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page to look at")
    return parser.parse_args()


def read(text: str) -> Runs:
    """Read the runs of one side. Raises UserError where one is no run or differs in length."""
    folders = [Path(part) for part in text.split(",") if part]
    if not folders:
        raise UserError("no run folder between the commas")
    rows = [_read_metrics(folder) for folder in folders]
    if len({len(own) for own in rows}) > 1:
        counts = ", ".join(f"{f} has {len(own)}" for f, own in zip(folders, rows, strict=True))
        raise UserError(f"the runs of one side have unlike numbers of epochs: {counts}")
    metrics = {
        name: np.array([[row.get(name, np.nan) for row in own] for own in rows], np.float64)
        for name in METRICS
    }
    return Runs(_name(folders[0]), folders, metrics)


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    file = folder / "metrics.jsonl"
    try:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); name a run folder") from error
    except ValueError as error:
        raise UserError(f"{file}: a line is no JSON ({error}); the log is damaged") from error
    if not rows:
        raise UserError(f"{file}: no epoch is finished yet")
    return rows


def _name(folder: Path) -> str:
    """Return the framework of a run, or the folder's name."""
    try:
        return json.loads((folder / "args.json").read_text())["arguments"]["framework"]
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def compare(left: Runs, right: Runs, verdict: Verdict) -> dict[str, Any]:
    """Compare the last epoch of both sides; return what was found, ready for JSON.

    `within_noise` is None where a side has one run alone.
    """
    found: dict[str, Any] = {"runs": [[str(f) for f in side.folders] for side in (left, right)]}
    found["epochs"] = [left.epochs, right.epochs]
    within = None
    found["metrics"] = {}
    for name in METRICS:
        last = [side.metrics[name][:, -1] for side in (left, right)]
        row = {"means": [float(a.mean()) for a in last]}
        row["difference"] = row["means"][1] - row["means"][0]
        if min(len(a) for a in last) > 1:
            row["deviations"] = [float(a.std(ddof=1)) for a in last]
            row["chance"] = _chance(*last)
            if name == "val_top1":
                within = row["chance"] >= CHANCE
        found["metrics"][name] = row
    found["within_noise"] = within
    if within is False:
        row = found["metrics"]["val_top1"]
        cause = (
            f"val_top1 {row['means'][0]:.4g} against {row['means'][1]:.4g}: by seeds alone this "
        )
        cause += f"far apart once in {1 / max(row['chance'], 1e-12):.3g}"
        verdict.diverge(
            "the last epoch", cause, "bash scripts/align.sh names the step that differs"
        )
    assert verdict.verdict in (ALIGNED, DIVERGED)
    return found


def _chance(left: np.ndarray, right: np.ndarray) -> float:
    """Return how likely runs of one kind are as far apart as these are."""
    if np.ptp(left) == np.ptp(right) == 0:
        return 1.0 if left[0] == right[0] else 0.0
    return float(stats.ttest_ind(left, right, equal_var=False).pvalue)


def as_text(left: Runs, right: Runs, found: dict[str, Any]) -> str:
    """Return the losses and accuracies of both sides, epoch by epoch, and what they say."""
    head = f"{'epoch':>5}"
    for name in METRICS:
        head += f"  {name:>12}{'':12}{'difference':>12}"
    lines = [f"{left.name} ({len(left.folders)}) and {right.name} ({len(right.folders)})", head]
    for epoch in range(min(left.epochs, right.epochs)):
        line = f"{epoch + 1:5}"
        for name in METRICS:
            pair = [side.metrics[name][:, epoch].mean() for side in (left, right)]
            line += f"  {pair[0]:12.4f}{pair[1]:12.4f}{pair[1] - pair[0]:12.4f}"
        lines.append(line)
    if left.epochs != right.epochs:
        lines.append(f"epochs: {left.epochs} and {right.epochs}")
    row = found["metrics"]["val_top1"]
    if found["within_noise"] is None:
        lines.append("one run alone of a side: give several, with commas, to tell seed noise")
    else:
        word = "within" if found["within_noise"] else "beyond"
        lines.append(
            f"val_top1 {row['means'][0]:.4g} ± {row['deviations'][0]:.2g} and "
            f"{row['means'][1]:.4g} ± {row['deviations'][1]:.2g}: {word} seed noise "
            f"(chance {row['chance']:.3g})"
        )
    return "\n".join(lines)


def blocks(left: Runs, right: Runs) -> list[dict[str, Any]]:
    """Return the plot for the page: a thin line for each run, a thick one for the mean."""
    figure = plots.new_figure(10, 6)
    for axes, name in zip(figure.subplots(2, 2).flat, METRICS, strict=True):
        for side, color in zip((left, right), COLORS, strict=True):
            values = side.metrics[name]
            epochs = np.arange(1, side.epochs + 1)
            axes.plot(epochs, values.T, color=color, alpha=0.3, linewidth=0.8)
            axes.plot(epochs, values.mean(axis=0), color=color, label=side.name)
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#eee")
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return [{"title": "Loss and accuracy", "png": buffer.getvalue()}]


if __name__ == "__main__":
    errors.run(main)
