"""The image of two loss curves: on each other above, their difference below."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.training.plots import new_figure, save
from experiments import parting
from experiments.parting import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TORCH, PADDLE = "tab:orange", "tab:blue"
COLOURS = {"float32": "black", "float64": "tab:green", "torch_bit": TORCH, "paddle_bit": PADDLE}
FLOOR = 1e-17  # a largest difference of 0 is drawn there: it has no logarithm
TOP = 10.0  # and one that is infinite there


def draw(path: Path, pairs: Sequence[Pair], made_with: str) -> None:
    """Draw the losses in float32, and how far each pair is apart at each step, as a PNG."""
    figure = new_figure(11, 8.5)
    figure.suptitle(f"Two frameworks, the same weights, the same stream ({made_with})")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
    float32 = next(pair for pair in pairs if pair.name == "float32")
    draw_losses(above, float32)
    draw_differences(below, pairs)
    parted = parting.first_above(float32.difference, parting.PARTED)
    if parted is not None:
        for axes in (above, below):
            axes.axvline(parted, color="black", linewidth=0.8, linestyle=":")
        at_top = above.get_xaxis_transform()
        above.text(parted, 0.97, f"  parted in float32: step {parted}", transform=at_top, va="top")
    below.set_xlim(0, len(float32.difference) + 1)
    save(figure, path)


def draw_losses(axes: "Axes", pair: Pair) -> None:
    """Draw both losses; one is wide and pale, so that the other can be seen on it."""
    steps = np.arange(1, len(pair.left) + 1)
    axes.plot(steps, pair.left, color=TORCH, linewidth=4, alpha=0.45, label="PyTorch, float32")
    axes.plot(steps, pair.right, color=PADDLE, linewidth=1, label="PaddlePaddle, float32")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")


def draw_differences(axes: "Axes", pairs: Sequence[Pair]) -> None:
    """Draw each pair's difference, pale, and the largest of it so far, which passes a threshold
    but once."""
    for pair in pairs:
        steps = np.arange(1, len(pair.difference) + 1)
        colour = COLOURS[pair.name]
        seen = np.minimum(pair.difference, TOP)
        shown = np.where(seen > 0, seen, np.nan)  # equal by chance: a gap
        axes.semilogy(steps, shown, color=colour, linewidth=0.7, alpha=0.3)
        parted = parting.first_above(pair.difference, parting.PARTED)
        label = f"parted at step {parted}" if parted else f"not parted in {len(steps)} steps"
        largest = np.maximum(np.maximum.accumulate(seen), FLOOR)
        axes.semilogy(steps, largest, color=colour, linewidth=1.8, label=f"{pair.title}: {label}")
        if parted:
            axes.plot(parted, largest[parted - 1], "o", color=colour)
    axes.axhline(parting.PARTED, color="tab:red", linewidth=1)
    at_left = axes.get_yaxis_transform()
    axes.text(0, parting.PARTED, "  1 %: parted", transform=at_left, va="bottom", color="tab:red")
    relative = "difference of the losses, relative\n(bold: the largest so far)"
    axes.set(xlabel="step", ylabel=relative)
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")
