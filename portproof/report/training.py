"""Loss curves of two runs of training, one over the other, and their difference."""

import numpy as np

from portproof.core.step_compare import Reports, loss_differences, loss_rows, losses
from portproof.core.verdict import Block
from portproof.report.figures import COLORS, SMALLEST, as_png, new_figure
from portproof.system.frameworks import FRAMEWORKS, NAMES

SIDE_COLORS = {"torch": "#b3261e", "paddle": "#1f4e9c"}


def blocks(records: dict[str, Reports]) -> list[Block]:
    """Return the plot and a table of the steps; `records` holds the reports by dtype and side."""
    by_dtype = {dtype: losses(reports) for dtype, reports in records.items()}
    head = ["step", "learning rate"]
    for dtype in by_dtype:
        head += [f"{NAMES[side]}, {dtype}" for side in FRAMEWORKS] + ["difference"]
    rows = []
    for steps in zip(*map(loss_rows, records.values()), strict=False):
        number, rate, *_ = steps[0]
        rows.append([str(number), f"{rate:.6g}"])
        for *_, torch, paddle in steps:
            rows[-1] += [f"{torch:.9f}", f"{paddle:.9f}", f"{abs(torch - paddle):.1e}"]
    plot = {"title": "Loss of both, and their difference", "png": draw(by_dtype)}
    return [plot, {"title": "Steps", "table": [head, *rows]}]


def draw(by_dtype: dict[str, dict[str, list[float]]]) -> bytes:
    """Draw the losses (float64) and, below, the relative differences by dtype; return a PNG."""
    figure = new_figure(9, 5.2)
    above, below = figure.subplots(2, 1, sharex=True)
    first = by_dtype.get("float64") or next(iter(by_dtype.values()))
    for side, style in (("torch", "-"), ("paddle", "--")):
        steps = range(1, len(first[side]) + 1)
        above.plot(steps, first[side], style, color=SIDE_COLORS[side], label=NAMES[side])
    above.set_ylabel("loss")
    above.legend(frameon=False)
    for dtype, color in COLORS.items():
        if dtype in by_dtype:
            heights = np.nan_to_num(loss_differences(by_dtype[dtype]), nan=1e3)
            heights = np.clip(heights, SMALLEST, 1e3)
            steps = range(1, len(heights) + 1)
            below.plot(steps, heights, "o-", markersize=3, linewidth=1, color=color, label=dtype)
    below.set(yscale="log", ylabel="relative difference", xlabel="step")
    below.xaxis.get_major_locator().set_params(integer=True)
    below.grid(axis="y", color="#eee")
    below.legend(frameon=False)
    return as_png(figure)
