"""Whether runs agree: as text, and as a page with the curves of all runs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from portproof.core.findings import Report
from portproof.core.verdict import Block
from portproof.report import html
from portproof.report.figures import as_png, new_figure
from portproof.report.html import Section
from portproof.report.markdown import figure
from portproof.runs.equivalence import DIFFERENT, EQUIVALENT, MOST
from portproof.runs.logs import ACCURACIES, METRICS, RunLog

COLORS = ("#b3261e", "#1f4e9c")
ROUGH = 5  # a spread from fewer runs than these may be half or double the true one
Logs = Mapping[str, list[RunLog]]  # of each side, by its name


def as_lines(report: Report) -> list[str]:
    """Return the result in a few lines of text."""
    return [*_figures(report), f"{report['verdict']}: {_why(report)}", *_needed(report)]


def _figures(report: Report) -> list[str]:
    unit = "points" if report["metric"] in ACCURACIES else "of loss"
    last = report["sides"][-1]["name"]
    first = "published" if report["against"] is not None else report["sides"][0]["name"]
    line = f"{last} - {first}: {report['difference']:+.3f} {unit}"
    if report["agreement"] is not None:
        for key, confidence in zip(("agreement", "equality"), _confidences(report), strict=True):
            low, high = report[key]
            line += f"; {confidence} interval {low:+.3f} to {high:+.3f}"
    heading = f"{report['metric']} {_which(report)}"
    return [heading, *_sides(report), line, f"margin: ±{report['margin']:g} {unit}"]


def _needed(report: Report) -> list[str]:
    """Return a line with the runs that would show agreement, where that is open and known."""
    if report["verdict"] == DIFFERENT or None in report["deviations"]:
        return []
    few, many = (count or f"over {MOST}" for count in report["runs_needed"].values())
    line = f"to show agreement at this spread, if they are the same: {few} runs a side "
    line += f"for a chance of 80 %, {many} for 90 %"
    if min(len(side["runs"]) for side in report["sides"]) < ROUGH:
        line += " (roughly: few runs tell little of the spread)"
    return [line]


def _which(report: Report) -> str:
    epochs = sorted({run["epoch"] for side in report["sides"] for run in side["runs"]} - {None})
    if not epochs:
        return "as given"
    listed = " and ".join(map(str, epochs)) if len(epochs) < 3 else f"{epochs[0]} to {epochs[-1]}"
    if report["epoch"] == "best":
        return f"of the best epoch of each run ({listed})"
    if report["epoch"] == "final":
        return f"of the final epoch ({listed}{': unlike lengths' if len(epochs) > 1 else ''})"
    return f"of epoch {listed}"


def _sides(report: Report) -> list[str]:
    width = max(len(name) for name in ["published", *(side["name"] for side in report["sides"])])
    lines = []
    if report["against"] is not None:
        lines.append(f"  {'published':{width}}  {report['against']:.3f}")
    for number, side in enumerate(report["sides"]):
        count, spread = len(side["runs"]), report["deviations"][number]
        runs = f"{count} run{'s' * (count > 1)}: {report['means'][number]:.3f}"
        runs += "" if spread is None else f" ± {spread:.3f}"
        lines.append(f"  {side['name']:{width}}  {runs}")
    return lines


def _confidences(report: Report) -> tuple[str, str]:
    level = report["level"]
    return f"{100 * (1 - 2 * level):g} %", f"{100 * (1 - level):g} %"


def _why(report: Report) -> str:
    """Return the reason of the verdict."""
    if report["agreement"] is None:
        alone = [side["name"] for side in report["sides"] if len(side["runs"]) == 1]
        return f"one run alone ({', '.join(alone)}) shows no spread between seeds; give several"
    narrow, wide = _confidences(report)
    excludes = report["equality"][0] > 0 or report["equality"][1] < 0
    if report["verdict"] == EQUIVALENT:
        why = f"the {narrow} interval lies inside the margin"
        why += "; there is a difference, but a smaller one" if excludes else ""
    elif report["verdict"] == DIFFERENT:
        low, high = report["agreement"]
        beyond = low >= report["margin"] or high <= -report["margin"]
        why = f"the {wide} interval excludes 0, "
        why += "by more than the margin" if beyond else "whether by more than the margin is open"
    else:
        why = f"the {narrow} interval is not inside the margin, and the {wide} one holds 0"
    if not any(report["deviations"]):
        why += " (all runs of a side are alike: had they different seeds?)"
    return why


def write_page(folder: Path, report: Report, logs: Logs) -> list[Path]:
    """Write one HTML file that opens from the disk by itself; return its path. Raises UserError."""
    text = "\n".join([*_figures(report), *_needed(report)])
    blocks: list[Block] = [{"title": "What was compared", "text": text}]
    if any(logs.values()):
        blocks.append({"title": "Loss and accuracy", "png": draw(logs)})
    for metric in METRICS:
        table = epoch_table(logs, metric)
        if len(table) > 1:
            blocks.append({"title": f"{metric} by epochs, means", "table": table})
    page = html.report(Section("Runs", report["verdict"], _why(report), blocks=blocks))
    return html.write_files(folder, {"runs.html": page})


def curve(log: RunLog, metric: str) -> dict[int, float]:
    """Return a metric by its epoch, where the log has it."""
    return {epoch: row[metric] for epoch, row in log.epochs.items() if metric in row}


def means(logs: list[RunLog], metric: str) -> dict[int, float]:
    """Return the mean over the runs at each epoch that all of them have."""
    curves = [curve(log, metric) for log in logs]
    shared = set.intersection(*map(set, curves)) if curves else set()
    return {epoch: float(np.mean([row[epoch] for row in curves])) for epoch in sorted(shared)}


def epoch_table(logs: Logs, metric: str) -> list[list[str]]:
    """Return a table of the means of each side by epochs: the head, and rows where one has any."""
    columns = [means(side, metric) for side in logs.values()]
    rows = [["epoch", *logs]]
    for epoch in sorted(set().union(*columns)):
        rows.append([str(epoch), *(figure(column.get(epoch), "%.4f") for column in columns)])
    return rows


def draw(logs: Logs) -> bytes:
    """Return a plot as PNG: a thin line for each run, a thick one for the mean of a side."""
    plot = new_figure(10, 6)
    for axes, metric in zip(plot.subplots(2, 2).flat, METRICS, strict=True):
        for (name, side), color in zip(logs.items(), COLORS, strict=False):
            for log in side:
                points = sorted(curve(log, metric).items())
                axes.plot(*zip(*points, strict=True), color=color, alpha=0.3, linewidth=0.8)
            mean = means(side, metric)
            axes.plot(list(mean), list(mean.values()), color=color, label=name)
        axes.set(title=metric, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#eee")
        axes.legend(frameon=False)
    return as_png(plot)
