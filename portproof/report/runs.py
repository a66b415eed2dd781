"""Whether runs agree: as text, and as a page with the curves of all runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from portproof.report import html
from portproof.report.figures import as_png, new_figure
from portproof.report.html import Section
from portproof.runs.equivalence import DIFFERENT, EQUIVALENT, MOST
from portproof.runs.logs import ACCURACIES, METRICS, RunLog

COLORS = ("#b3261e", "#1f4e9c")
ROUGH = 5  # a spread from fewer runs than these may be half or double the true one
Logs = Mapping[str, list[RunLog]]  # of each side, by its name


def as_lines(found: dict[str, Any]) -> list[str]:
    """Return the result in a few lines of text."""
    return [*_figures(found), f"{found['verdict']}: {_why(found)}", *_needed(found)]


def _figures(found: dict[str, Any]) -> list[str]:
    unit = "points" if found["metric"] in ACCURACIES else "of loss"
    return [
        f"{found['metric']} {_which(found)}",
        *_sides(found),
        f"{_names(found)}: {found['difference']:+.3f} {unit}{_intervals(found)}",
        f"margin: ±{found['margin']:g} {unit}",
    ]


def _needed(found: dict[str, Any]) -> list[str]:
    """Return a line with the runs that would show agreement, where that is open and can be told."""
    if found["verdict"] == DIFFERENT or None in found["deviations"]:
        return []
    few, many = (count or f"over {MOST}" for count in found["runs_needed"].values())
    told = f"to show agreement at this spread, if they are the same: {few} runs a side "
    told += f"for a chance of 80 %, {many} for 90 %"
    if min(len(side["runs"]) for side in found["sides"]) < ROUGH:
        told += " (roughly: few runs tell little of the spread)"
    return [told]


def _which(found: dict[str, Any]) -> str:
    epochs = sorted({run["epoch"] for side in found["sides"] for run in side["runs"]} - {None})
    told = " and ".join(map(str, epochs)) if len(epochs) < 3 else f"{epochs[0]} to {epochs[-1]}"
    if not epochs:
        return "as given"
    if found["epoch"] == "best":
        return f"of the best epoch of each run ({told})"
    if found["epoch"] == "final":
        return f"of the final epoch ({told}{': unlike lengths' if len(epochs) > 1 else ''})"
    return f"of epoch {told}"


def _sides(found: dict[str, Any]) -> list[str]:
    names = [side["name"] for side in found["sides"]]
    width = max(len(name) for name in [*names, "published"])
    lines = []
    for side, mean, spread in zip(found["sides"], found["means"], found["deviations"], strict=True):
        count = len(side["runs"])
        told = f"  {side['name']:{width}}  {count} run{'s' * (count > 1)}: {mean:.3f}"
        lines.append(told if spread is None else f"{told} ± {spread:.3f}")
    if found["against"] is not None:
        lines.insert(0, f"  {'published':{width}}  {found['against']:.3f}")
    return lines


def _names(found: dict[str, Any]) -> str:
    left = "published" if found["against"] is not None else found["sides"][0]["name"]
    return f"{found['sides'][-1]['name']} - {left}"


def _confidences(found: dict[str, Any]) -> tuple[str, str]:
    level = found["level"]
    return f"{100 * (1 - 2 * level):g} %", f"{100 * (1 - level):g} %"


def _intervals(found: dict[str, Any]) -> str:
    if found["agreement"] is None:
        return ""
    told = ""
    for key, confidence in zip(("agreement", "equality"), _confidences(found), strict=True):
        low, high = found[key]
        told += f"; {confidence} interval {low:+.3f} to {high:+.3f}"
    return told


def _why(found: dict[str, Any]) -> str:
    """Return the reason of the verdict."""
    if found["agreement"] is None:
        alone = [side["name"] for side in found["sides"] if len(side["runs"]) == 1]
        return f"one run alone ({', '.join(alone)}) shows no spread between seeds; give several"
    narrow, wide = _confidences(found)
    excludes = found["equality"][0] > 0 or found["equality"][1] < 0
    if found["verdict"] == EQUIVALENT:
        why = f"the {narrow} interval lies inside the margin"
        why += "; there is a difference, but a smaller one" if excludes else ""
    elif found["verdict"] == DIFFERENT:
        low, high = found["agreement"]
        beyond = low >= found["margin"] or high <= -found["margin"]
        why = f"the {wide} interval excludes 0, "
        why += "by more than the margin" if beyond else "whether by more than the margin is open"
    else:
        why = f"the {narrow} interval is not inside the margin, and the {wide} one holds 0"
    if not any(found["deviations"]):
        why += " (all runs of a side are alike: had they different seeds?)"
    return why


def write_page(folder: Path, found: dict[str, Any], logs: Logs) -> Path:
    """Write one HTML file that opens from the disk by itself; return its path. Raises UserError."""
    blocks: list[html.Block] = [
        {"title": "What was compared", "text": "\n".join([*_figures(found), *_needed(found)])}
    ]
    if any(logs.values()):
        blocks.append({"title": "Loss and accuracy", "png": draw(logs)})
    for metric in METRICS:
        table = epoch_table(logs, metric)
        if len(table) > 1:
            blocks.append({"title": f"{metric} by epochs, means", "table": table})
    page = html.report(Section("Runs", found["verdict"], _why(found), blocks=blocks))
    return html.write_files(folder, {"runs.html": page})[0]


def curve(log: RunLog, metric: str) -> dict[int, float]:
    """Return a metric by its epoch, where the log tells it."""
    return {epoch: row[metric] for epoch, row in log.epochs.items() if metric in row}


def means(logs: list[RunLog], metric: str) -> dict[int, float]:
    """Return the mean over the runs at each epoch that all of them have."""
    curves = [curve(log, metric) for log in logs]
    shared = set.intersection(*[set(own) for own in curves]) if curves else set()
    return {epoch: float(np.mean([own[epoch] for own in curves])) for epoch in sorted(shared)}


def epoch_table(logs: Logs, metric: str) -> list[list[str]]:
    """Return a table of the means of each side by epochs: the head, and rows where one has any."""
    columns = [means(own, metric) for own in logs.values()]
    rows = [["epoch", *logs]]
    for epoch in sorted(set().union(*columns)):
        cells = [f"{own[epoch]:.4f}" if epoch in own else "" for own in columns]
        rows.append([str(epoch), *cells])
    return rows


def draw(logs: Logs) -> bytes:
    """Return a plot as PNG: a thin line for each run, a thick one for the mean of a side."""
    figure = new_figure(10, 6)
    for axes, metric in zip(figure.subplots(2, 2).flat, METRICS, strict=True):
        for (name, own), color in zip(logs.items(), COLORS, strict=False):
            for log in own:
                points = sorted(curve(log, metric).items())
                axes.plot(*zip(*points, strict=True), color=color, alpha=0.3, linewidth=0.8)
            mean = means(own, metric)
            axes.plot(list(mean), list(mean.values()), color=color, label=name)
        axes.set_title(metric)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#eee")
        axes.legend(frameon=False)
    return as_png(figure)
