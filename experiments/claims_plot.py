"""The plots of the claims: effects with their intervals, and curves over the epochs."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.training.plots import new_figure, save
from experiments.claims_tables import GROUPS, NAMES, Effects, runs_of
from experiments.plan import CLAIMS, GOAL
from experiments.runs import Outcome
from experiments.verdicts import Effect
from portproof.system.frameworks import FRAMEWORKS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

COLOURS = {"torch": "tab:orange", "paddle": "tab:blue", "both": "black"}
TICKS = (0.125, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)
MARKERS = {"": ("o", ""), "more": (">", "at least"), "less": ("<", "at most")}  # by the bound
SCALES = {  # below a box of effects, by what is measured without the idea
    "val_error": "points of top-1 error on val",
    "overfitting": "points of overfitting (error on val minus error on train)",
    "epochs_to_goal": "times fewer epochs to 25 % training error",
}
# Of the curves: a title, and the arms and splits that are drawn.
CURVES = [
    ("Four layers: ReLU against tanh", ("relu", "tanh"), ("train",)),
    ("Dropout on and off", ("base", "no-dropout"), ("val", "train")),
]
LOOKS = {  # of an arm in the curves
    "relu": ("tab:green", "ReLU"),
    "tanh": ("tab:purple", "tanh"),
    "base": ("tab:green", "dropout"),
    "no-dropout": ("tab:red", "no dropout"),
}


def draw_effects(path: Path, effects: Effects) -> None:
    """Draw each effect with its interval, and the paper's; claims of one scale share a box."""
    boxes = {}
    for measure, scale in SCALES.items():
        if claims := [claim for claim in effects if CLAIMS[claim].measure[1] == measure]:
            boxes[scale] = claims
    heights = [len(claims) for claims in boxes.values()]
    figure = new_figure(10, 1.3 + sum(0.75 + 0.6 * height for height in heights))
    figure.suptitle(
        "What each idea of the paper brings on small images\n"
        "mean over the seeds with its 95 % interval; right of the grey line: as the paper says"
    )
    rows = figure.subplots(len(boxes), 1, squeeze=False, height_ratios=heights)[:, 0]
    handles: dict[str, Artist] = {}
    for axes, (scale, claims) in zip(rows, boxes.items(), strict=True):
        draw_box(axes, claims, effects)
        axes.set_xlabel(scale)
        drawn, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, drawn, strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    save(figure, path)


def draw_box(axes: "Axes", claims: Sequence[str], effects: Effects) -> None:
    """Draw the effects of claims that share a scale, one below the other."""
    none = 1.0 if CLAIMS[claims[0]].is_ratio else 0.0
    seen = [none]
    for row, claim in enumerate(claims):
        for height, name in zip((row - 0.22, row, row + 0.22), GROUPS, strict=True):
            if effect := effects[claim].get(name):
                seen += draw_effect(axes, effect, height, name)
        paper = CLAIMS[claim].paper
        if paper is not None:
            axes.plot(paper, row, "D", color="tab:red", markersize=8, label="the paper", zorder=3)
            seen.append(paper)
    axes.axvline(none, color="grey", linewidth=1.5)
    if none:
        low, high = min(seen) / 1.2, max(seen) * 1.2
        ticks = [tick for tick in TICKS if low < tick < high]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        margin = 0.08 * (max(seen) - min(seen) or 1)
        low, high = min(seen) - margin, max(seen) + margin
    axes.set_yticks(range(len(claims)), [CLAIMS[claim].title for claim in claims])
    axes.set(xlim=(low, high), ylim=(len(claims) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)


def draw_effect(axes: "Axes", effect: Effect, y: float, name: str) -> list[float]:
    """Draw a mean with its interval at a height, or a bound; return what must be seen of it."""
    colour = COLOURS[name]
    marker, label = MARKERS[effect.bound]
    axes.plot([], [], "o", color=colour, label=NAMES[name])  # of the legend
    axes.plot(effect.value, y, marker, color=colour)
    if effect.bound:
        axes.plot([], [], marker, color="grey", label=label)
    if effect.bound or not math.isfinite(effect.low):
        return [effect.value]
    axes.plot([effect.low, effect.high], [y, y], color=colour, linewidth=1.6)
    return [effect.value, effect.low, effect.high]


def draw_curves(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Draw ReLU against tanh, as the paper's figure 1, and dropout on and off, by framework."""
    trained = {run["arm"] for run in outcomes}
    curves = [curve for curve in CURVES if trained.issuperset(curve[1])]
    with_runs = {run["framework"] for run in outcomes}
    frameworks = [name for name in FRAMEWORKS if name in with_runs]
    if not curves:
        return
    figure = new_figure(5.6 * len(curves), 3.9 * len(frameworks))
    grid = figure.subplots(len(frameworks), len(curves), squeeze=False, sharey="col")
    for axes, (framework, curve) in zip(grid.flat, product(frameworks, curves), strict=True):
        title, arms, splits = curve
        for arm, split in product(arms, splits):
            draw_mean(axes, runs_of(arm, framework, outcomes), arm, split)
        if "relu" in arms:
            axes.axhline(GOAL, color="grey", linewidth=1, linestyle=":")
            axes.text(0.1, GOAL + 1, "25 %", color="grey")
        axes.set_title(f"{title}, {NAMES[framework]}", fontsize=11)
        axes.set(xlabel="epoch", ylabel="top-1 error (%)", ylim=(0, 100), xlim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    save(figure, path)


def draw_mean(axes: "Axes", outcomes: Sequence[Outcome], arm: str, split: str) -> None:
    """Draw the mean error over seeds, and a band from the least to the most."""
    if not outcomes:
        return
    colour, name = LOOKS[arm]
    right = [[row[f"{split}_top1"] for row in run["rows"]] for run in outcomes]
    errors = 100 - np.array(right)  # [seeds, epochs]
    late = 0.5 if split == "train" else 0.0  # a mean over an epoch is that of its middle
    epochs = [row["epoch"] - late for row in outcomes[0]["rows"]]
    axes.fill_between(epochs, errors.min(0), errors.max(0), color=colour, alpha=0.15, linewidth=0)
    style = "--" if split == "train" and arm not in ("relu", "tanh") else "-"
    axes.plot(epochs, errors.mean(0), style, color=colour, label=f"{name}, {split}")
