"""Tables, pages and plots of the claims, from the results of the trainings."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.training.plots import new_figure, save
from experiments import pages
from experiments.collected import write_csv
from experiments.plan import CLAIMS, FRAMEWORKS, GOAL, claims_of
from experiments.runs import Result, last_seen
from experiments.verdicts import Effect, difference, ratio
from portproof.report import markdown

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

COLUMNS = (
    "claims", "arm", "framework", "seed", "epochs", "val_error", "train_error", "overfitting",
    "ten_crop_error", "running_train_error", "epochs_to_goal", "seconds", "processor", "versions",
    "command",
)  # fmt: skip
COLOURS = {"torch": "tab:orange", "paddle": "tab:blue", "both": "black"}
TICKS = (0.125, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)
Effects = dict[str, dict[str, Effect | None]]  # by claim, then by framework or "both"


def write(output: Path, results: Sequence[Result], claims: Sequence[str], images: dict) -> None:
    """Write everything about these claims into a folder; `images`: Workplace.described."""
    effects = {claim: effects_of(claim, results) for claim in claims}
    write_runs(output / "claims.csv", results)
    write_epochs(output / "claims-epochs.csv", results)
    draw_effects(output / "claims.png", effects)
    draw_curves(output / "claims-curves.png", results)
    for language, name in (("en", "claims.md"), ("zh", "claims.zh-CN.md")):
        markdown.write(output / name, pages.page(language, effects, results, images))
    print(pages.table("en", effects))


def effects_of(claim: str, results: Sequence[Result]) -> dict[str, Effect | None]:
    """Return a claim's effect in each framework that has results, and in both together."""
    found = {name: pairs_of(claim, name, results) for name in FRAMEWORKS}
    groups = {name: pairs for name, pairs in found.items() if pairs}
    if len(groups) > 1:
        groups["both"] = [pair for pairs in found.values() for pair in pairs]
    if CLAIMS[claim].kind == "points":
        return {name: difference(pairs) for name, pairs in groups.items()}
    epochs = min(one["epochs"] for one in results if claim in claims_of(one["arm"]))
    return {name: ratio(pairs, last_seen(epochs)) for name, pairs in groups.items()}


def pairs_of(
    claim: str, framework: str, results: Sequence[Result]
) -> list[tuple[float | None, float | None]]:
    """Return (with the idea, without it) for each seed that has both."""
    one = CLAIMS[claim]
    own = {(r["arm"], r["seed"]): r for r in results if r["framework"] == framework}
    seeds = sorted(seed for arm, seed in own if arm == one.with_ and (one.without, seed) in own)
    with_, without = one.measure
    return [(own[one.with_, s][with_], own[one.without, s][without]) for s in seeds]


def write_runs(path: Path, results: Sequence[Result]) -> None:
    """Write a line for each training; `running_train_error` is the mean over the last epoch."""
    lines = []
    for one in results:
        line = {name: shown(one.get(name)) for name in COLUMNS}
        line["running_train_error"] = round(100 - one["rows"][-1]["train_top1"], 3)
        line["claims"] = " ".join(claims_of(one["arm"]))
        if one["epochs_to_goal"] is None:
            line["epochs_to_goal"] = f"more than {last_seen(one['epochs']):g}"
        line["processor"] = one["machine"]["processor"]
        line["versions"] = " ".join(f"{name}={v}" for name, v in one["versions"].items())
        lines.append(line)
    write_csv(path, COLUMNS, lines)


def write_epochs(path: Path, results: Sequence[Result]) -> None:
    """Write a line for each epoch of each training, of which the curves are drawn."""
    lines = [
        {name: one[name] for name in ("arm", "framework", "seed")} | row
        for one in results
        for row in one["rows"]
    ]
    write_csv(path, ("arm", "framework", "seed", "epoch", "train_top1", "val_top1"), lines)


def shown(value: object) -> object:
    if value is None:
        return ""
    return round(value, 3) if isinstance(value, float) else value


def draw_effects(path: Path, effects: Effects) -> None:
    """Draw each effect with its interval, and the paper's; claims of one scale share a box."""
    points = [c for c in effects if CLAIMS[c].kind == "points"]
    boxes = {
        "points of top-1 error on val": [c for c in points if c != "dropout"],
        "points of overfitting (error on val minus error on train)": [
            c for c in points if c == "dropout"
        ],
        "times fewer epochs to 25 % training error": [c for c in effects if c not in points],
    }
    boxes = {scale: claims for scale, claims in boxes.items() if claims}
    figure = new_figure(10, 1.3 + sum(0.75 + 0.6 * len(claims) for claims in boxes.values()))
    figure.suptitle(
        "What each idea of the paper brings on small images\n"
        "mean over the seeds with its 95 % interval; right of the grey line: as the paper says"
    )
    heights = [len(claims) for claims in boxes.values()]
    rows = figure.subplots(len(boxes), 1, squeeze=False, height_ratios=heights)[:, 0]
    handles: dict[str, Artist] = {}
    for axes, (scale, claims) in zip(rows, boxes.items(), strict=True):
        draw_box(axes, claims, effects)
        axes.set_xlabel(scale)
        own, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, own, strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    save(figure, path)


def draw_box(axes: "Axes", claims: Sequence[str], effects: Effects) -> None:
    """Draw the effects of claims that share a scale, one below the other."""
    none = 1.0 if CLAIMS[claims[0]].kind == "times" else 0.0
    seen = [none]
    for place, claim in enumerate(claims):
        for number, name in enumerate(pages.GROUPS):
            effect = effects[claim].get(name)
            if effect is not None:
                seen += draw_effect(axes, effect, place + 0.22 * (number - 1), name)
        paper = CLAIMS[claim].paper
        if paper is not None:
            axes.plot(paper, place, "D", color="tab:red", markersize=8, label="the paper", zorder=3)
            seen.append(paper)
    axes.axvline(none, color="grey", linewidth=1.5)
    if none:
        axes.set_xscale("log")
        axes.set_xlim(min(seen) / 1.2, max(seen) * 1.2)
        ticks = [tick for tick in TICKS if min(seen) / 1.2 < tick < 1.2 * max(seen)]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        margin = 0.08 * (max(seen) - min(seen) or 1)
        axes.set_xlim(min(seen) - margin, max(seen) + margin)
    axes.set_yticks(range(len(claims)), [pages.SHORT[claim] for claim in claims])
    axes.set_ylim(len(claims) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)


def draw_effect(axes: "Axes", effect: Effect, y: float, name: str) -> list[float]:
    """Draw a mean with its interval at a height, or a bound; return what must be seen of it."""
    colour = COLOURS[name]
    axes.plot([], [], "o", color=colour, label=pages.NAMES[name])  # of the legend
    if effect.bound:
        marker, label = {"more": (">", "at least"), "less": ("<", "at most")}[effect.bound]
        axes.plot(effect.value, y, marker, color=colour)
        axes.plot([], [], marker, color="grey", label=label)
        return [effect.value]
    axes.plot(effect.value, y, "o", color=colour)
    if not math.isfinite(effect.low):
        return [effect.value]
    axes.plot([effect.low, effect.high], [y, y], color=colour, linewidth=1.6)
    return [effect.value, effect.low, effect.high]


def draw_curves(path: Path, results: Sequence[Result]) -> None:
    """Draw ReLU against tanh, as the paper's figure 1, and dropout on and off, by framework."""
    columns = [
        ("Four layers: ReLU against tanh", [("relu", "train"), ("tanh", "train")]),
        (
            "Dropout on and off",
            [(arm, split) for arm in ("base", "no-dropout") for split in ("val", "train")],
        ),
    ]
    present = {one["arm"] for one in results}
    columns = [(title, own) for title, own in columns if {arm for arm, _ in own} <= present]
    frameworks = [name for name in FRAMEWORKS if name in {one["framework"] for one in results}]
    if not columns:
        return
    figure = new_figure(5.6 * len(columns), 3.9 * len(frameworks))
    grid = figure.subplots(len(frameworks), len(columns), squeeze=False, sharey="col")
    for row, framework in zip(grid, frameworks, strict=True):
        for axes, (title, lines) in zip(row, columns, strict=True):
            for arm, split in lines:
                own = [r for r in results if (r["arm"], r["framework"]) == (arm, framework)]
                draw_mean(axes, own, arm, split)
            if lines[0][0] == "relu":
                axes.axhline(GOAL, color="grey", linewidth=1, linestyle=":")
                axes.text(0.1, GOAL + 1, "25 %", color="grey")
            axes.set_title(f"{title}, {pages.NAMES[framework]}", fontsize=11)
            axes.set_xlabel("epoch")
            axes.set_ylabel("top-1 error (%)")
            axes.set_ylim(0, 100)
            axes.set_xlim(left=0)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=9)
    save(figure, path)


LOOKS = {  # of an arm in the curves
    "relu": ("tab:green", "ReLU"),
    "tanh": ("tab:purple", "tanh"),
    "base": ("tab:green", "dropout"),
    "no-dropout": ("tab:red", "no dropout"),
}


def draw_mean(axes: "Axes", results: Sequence[Result], arm: str, split: str) -> None:
    """Draw the mean error over seeds, and a band from the least to the most."""
    if not results:
        return
    colour, name = LOOKS[arm]
    right = [[row[f"{split}_top1"] for row in one["rows"]] for one in results]
    errors = 100 - np.array(right)  # [seeds, epochs]
    late = 0.5 if split == "train" else 0.0  # a mean over an epoch is that of its middle
    epochs = [row["epoch"] - late for row in results[0]["rows"]]
    axes.fill_between(epochs, errors.min(0), errors.max(0), color=colour, alpha=0.15, linewidth=0)
    style = "--" if split == "train" and arm not in ("relu", "tanh") else "-"
    axes.plot(epochs, errors.mean(0), style, color=colour, label=f"{name}, {split}")
