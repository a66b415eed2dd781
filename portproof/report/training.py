"""Loss curves of two runs of training, one over the other, and their difference."""

from typing import Any

import numpy as np

from portproof.core.step_compare import loss_differences, losses
from portproof.report.figures import as_png, new_figure
from portproof.system.frameworks import FRAMEWORKS, NAMES

COLORS = {"torch": "#b3261e", "paddle": "#1f4e9c"}
SMALLEST = 1e-17  # where the plot puts a difference of 0


def blocks(records: dict[str, dict[str, dict]]) -> list[dict[str, Any]]:
    """Return the plot and a table of the steps; `records` holds the reports by dtype and side."""
    own = {dtype: losses(reports) for dtype, reports in records.items()}
    head = ["step", "learning rate"]
    for dtype in own:
        head += [f"{NAMES[side]}, {dtype}" for side in FRAMEWORKS] + ["difference"]
    rows = []
    reports = next(iter(records.values()))
    for step, row in enumerate(reports["torch"]["rows"]):
        cells = [str(step + 1), f"{row['lr']:.6g}"]
        for dtype in own:
            pair = [
                values[step] if step < len(values) else np.nan for values in own[dtype].values()
            ]
            cells += [f"{value:.9f}" for value in pair] + [f"{abs(pair[0] - pair[1]):.1e}"]
        rows.append(cells)
    return [
        {"title": "Loss of both, and their difference", "png": draw(own)},
        {"title": "Steps", "table": [head, *rows]},
    ]


def draw(own: dict[str, dict[str, list[float]]]) -> bytes:
    """Draw the losses (float64) and, below, the relative differences by dtype; return a PNG."""
    figure = new_figure(9, 5.2)
    above, below = figure.subplots(2, 1, sharex=True)
    first = own["float64"] if "float64" in own else next(iter(own.values()))
    for side, style in (("torch", "-"), ("paddle", "--")):
        steps = range(1, len(first[side]) + 1)
        above.plot(steps, first[side], style, color=COLORS[side], label=NAMES[side])
    above.set_ylabel("loss")
    above.legend(frameon=False)
    for dtype, color in (("float32", "#1f77b4"), ("float64", "#14632b")):
        if dtype in own:
            values = np.nan_to_num(loss_differences(own[dtype]), nan=1e3, posinf=1e3)
            values = np.clip(values, SMALLEST, 1e3)
            steps = range(1, len(values) + 1)
            below.plot(steps, values, "o-", markersize=3, linewidth=1, color=color, label=dtype)
    below.set_yscale("log")
    below.set_ylabel("relative difference")
    below.set_xlabel("step")
    below.xaxis.get_major_locator().set_params(integer=True)
    below.grid(axis="y", color="#eee")
    below.legend(frameon=False)
    return as_png(figure)
