"""The results of the claims as pages, in English and in Chinese."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.paths import DATA_DIR
from experiments.plan import ARMS, FRAMEWORKS, HALF_PARAMETERS, PARAMETERS
from experiments.runs import Result
from experiments.verdicts import Effect, verdict
from portproof.report import markdown

GROUPS = (*FRAMEWORKS, "both")  # columns of the table
NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle", "both": "both together"}
GOAL_ARMS = ("relu", "tanh")
SHORT = {  # in the plot
    "relu": "ReLU against tanh",
    "norm": "response normalization",
    "pooling": "overlapping pooling",
    "dropout": "dropout",
    "colour": "colour noise",
    "groups": "groups against half width",
    "crops": "ten crops against one",
}


def read_words(stem: str) -> dict[str, dict[str, Any]]:
    """Return the words of a page by language, from the files beside this one."""
    files = {name: Path(__file__).with_name(f"{stem}.{name}.json") for name in ("en", "zh")}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}


WORDS = read_words("claims")


def page(
    language: str,
    effects: dict[str, dict[str, Effect | None]],
    results: Sequence[Result],
    images: dict,
) -> str:
    """Return the whole page; `images` says where they are from and how many there are."""
    first = results[0]
    machine = first["machine"]
    of = Path(images["of"])
    epochs = {one["arm"]: one["epochs"] for one in results}
    return markdown.render(
        Path(__file__).with_name(f"claims.{language}.md.j2"),
        table=table(language, effects),
        arms=arms_table(language, results),
        data=of.name,
        option="--dataset" if of.parent == DATA_DIR else "--data-path",
        train=f"{images['train']:,}",
        val=f"{images['val']:,}",
        parameters=f"{PARAMETERS:,}",
        half=f"{HALF_PARAMETERS:,}",
        rate=ARMS["base"].options["--lr"],
        epochs=epochs.get("base", ARMS["base"].epochs),
        four_epochs=epochs.get("relu", ARMS["relu"].epochs),
        lr_relu=ARMS["relu"].options["--lr"],
        lr_tanh=ARMS["tanh"].options["--lr"],
        processor=machine["processor"],
        cores=machine["cores"],
        versions=", ".join(f"{name} {v}" for name, v in first["versions"].items()),
    )


def table(language: str, effects: dict[str, dict[str, Effect | None]]) -> str:
    """Return the effects and verdicts as a Markdown table."""
    words = WORDS[language]
    rows = [words["head"]]
    for claim, found in effects.items():
        cells = [cell(language, found[name]) if name in found else "" for name in GROUPS]
        rows.append((words["claim"][claim], words["paper"][claim], *cells))
    return markdown.table(rows)


def cell(language: str, effect: Effect | None) -> str:
    """Return an effect with its interval and verdict."""
    words = WORDS[language]
    said = f"**{words[verdict(effect)]}**"
    if effect is None:
        return f"{said}: {words['none']}"
    value = number(effect, effect.value)
    if effect.bound:
        return f"{said}: {words[effect.bound]}{value}"
    if not math.isfinite(effect.low):
        return f"{said}: {value}"
    return (
        f"{said}: {value} ({number(effect, effect.low)}{words['to']}{number(effect, effect.high)})"
    )


def number(effect: Effect, value: float) -> str:
    """Return a ratio as it is, a difference with its sign."""
    return f"{value:.2f}" if effect.none else f"{value:+.2f}"


def arms_table(language: str, results: Sequence[Result]) -> str:
    """Return each arm's means over its seeds, with their standard deviations."""
    rows = [WORDS[language]["arms"]]
    for arm in ARMS:
        for framework in FRAMEWORKS:
            own = [r for r in results if (r["arm"], r["framework"]) == (arm, framework)]
            if not own:
                continue
            reached = spread([one["epochs_to_goal"] for one in own]) if arm in GOAL_ARMS else ""
            rows.append(
                (
                    WORDS[language]["arm"][arm],
                    NAMES[framework],
                    str(len(own)),
                    spread([one["val_error"] for one in own]),
                    spread([one.get("train_error") for one in own]),
                    reached,
                )
            )
    return markdown.table(rows)


def spread(values: Sequence[float | None]) -> str:
    """Return mean and standard deviation, "–" where a value is missing."""
    if None in values:
        return "–"
    mean = statistics.mean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"
