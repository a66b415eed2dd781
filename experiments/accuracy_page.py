"""The page beside the table of an accuracy baseline: each set of trainings in one line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from common.run_folder import replace_whole, write_text
from experiments.pages import markdown, spread
from tools import equivalence

NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle"}
COLUMNS = (
    "recipe", "options", "framework", "seeds", "top-1, %", "top-5, %", "epochs", "images/s",
    "minutes",
)  # fmt: skip
# On ImageNet's 50,000 validation pictures unless it says otherwise; none of them measured here.
PUBLISHED = (
    ("torchvision, `AlexNet_Weights.IMAGENET1K_V1`", "56.522", "79.066",
     "https://docs.pytorch.org/vision/stable/models/alexnet.html"),
    ("PaddleClas, AlexNet", "56.7", "79.2",
     "https://github.com/PaddlePaddle/PaddleClas"),
    ("AlexNet-Prod, PaddlePaddle", "56.4", "79.0",
     "https://github.com/littletomatodonkey/AlexNet-Prod"),
    ("Caffe, bvlc_alexnet", "57.1", "80.2",
     "https://github.com/BVLC/caffe/tree/master/models/bvlc_alexnet"),
    ("the paper, one network, ten crops", "59.3", "81.8",
     "https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-"
     "networks"),
    ("the paper, ILSVRC-2010's test set, ten crops", "62.5", "83.0", "the same"),
)  # fmt: skip

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> None:
    """Write the page of the trainings in `rows`, whole or not at all."""
    sets = {}
    for row in rows:
        sets.setdefault((row["recipe"], row["options"]), {}).setdefault(
            row["framework"], []
        ).append(row)
    lines = ["# Accuracy baseline", ""]
    lines += [
        "Top-1 and top-5 on val after the last epoch, mean ± standard deviation over the seeds. "
        "Every training: [accuracy.csv](accuracy.csv).",
        "",
    ]
    cells = [
        _cells(recipe, options, framework, group)
        for (recipe, options), by_framework in sets.items()
        for framework, group in by_framework.items()
    ]
    lines.append(markdown([COLUMNS, *cells]))
    for (recipe, options), by_framework in sets.items():
        if len(by_framework) == 2:
            lines += ["", _difference(recipe, options, by_framework)]
    lines += [
        "",
        "images/s: the median epoch's, training alone; minutes: of all epochs, evaluation",
    ]
    lines += ["included. On " + "; ".join(_machines(rows)) + ".", "", "The commands:", "", "```"]
    lines += list(dict.fromkeys(_command(row) for row in rows))
    lines += [
        "```",
        "",
        "## Published",
        "",
        "ImageNet; published by others, not measured here.",
        "",
    ]
    lines.append(markdown([("what", "top-1, %", "top-5, %", "source"), *PUBLISHED]))
    with replace_whole(path) as partial:
        write_text(partial, "\n".join(lines) + "\n")


def _cells(recipe: str, options: str, framework: str, group: list[Row]) -> list[str]:
    cells = [recipe, f"`{options}`" if options else "", NAMES[framework]]
    cells.append(" ".join(sorted((str(row["seed"]) for row in group), key=int)))
    cells += [spread(list(values(group, name))) for name in ("val_top1", "val_top5")]
    cells.append(" ".join(dict.fromkeys(str(row["epochs"]) for row in group)))
    cells.append(f"{np.median(values(group, 'images_per_s')):.0f}")
    minutes = values(group, "seconds") / 60
    cells.append(" to ".join(dict.fromkeys(f"{one:.0f}" for one in (min(minutes), max(minutes)))))
    return cells


def values(group: list[Row], name: str) -> np.ndarray:
    """Return one number of each training of a set, [trainings]."""
    return np.array([float(row[name]) for row in group])


def _difference(recipe: str, options: str, by_framework: dict[str, list[Row]]) -> str:
    """Return what the frameworks differ by, and whether chance explains it, as a sentence."""
    left, right = (values(by_framework[name], "val_top1") for name in NAMES)
    outcome = equivalence.compare(left, right, margin=0.0)
    told = (
        f"`{recipe}{' ' + options if options else ''}`: PaddlePaddle's mean top-1 less PyTorch's "
    )
    told += f"is {outcome.difference:+.2f} points"
    if outcome.equality is None:
        return f"{told}; one seed has no spread."
    low, high = outcome.equality
    inside = "0 is in it: chance explains it" if low <= 0 <= high else "0 is not in it"
    return f"{told}, 95 % interval {low:+.2f} to {high:+.2f} (Welch); {inside}."


def _machines(rows: Iterable[Row]) -> list[str]:
    return list(
        dict.fromkeys(
            f"{row['cores']} cores of {row['processor']} ({row['versions']})" for row in rows
        )
    )


def _command(row: Row) -> str:
    return row["command"].replace(f"--seed {row['seed']}", "--seed SEED", 1)
