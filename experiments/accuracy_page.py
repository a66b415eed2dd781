"""The page beside the table of an accuracy baseline, in English and in Chinese."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pages import read_words, spread
from portproof.report import markdown
from portproof.runs import equivalence

MARGIN, POWER = 0.15, 0.8  # points: what compare_runs takes; and the chance to show it
NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle"}
TWIN = {"en": "", "zh": ".zh-CN"}  # ends the name of a language's page
WORDS = read_words("accuracy")

Row = dict[str, Any]
Sets = dict[tuple[str, str], dict[str, list[Row]]]  # by (recipe, options), then by framework


def write(path: Path, rows: list[Row]) -> list[Path]:
    """Write the pages beside the table `path`, each atomically, and return their paths."""
    pages = []
    for language, twin in TWIN.items():
        pages.append(path.with_name(f"{path.stem}{twin}.md"))
        markdown.write(pages[-1], page(language, path.stem, rows))
    return pages


def page(language: str, stem: str, rows: list[Row]) -> str:
    """Return the page of the trainings in `rows`; `stem` is the table's name without its end."""
    words = WORDS[language]
    sets: Sets = {}
    for row in rows:
        by_framework = sets.setdefault((row["recipe"], row["options"]), {})
        by_framework.setdefault(row["framework"], []).append(row)
    differences = [
        difference(language, recipe, options, by_framework)
        for (recipe, options), by_framework in sets.items()
        if len(by_framework) == len(NAMES)
    ]
    return markdown.render(
        Path(__file__).with_name(f"accuracy.{language}.md.j2"),
        stem=stem,
        table=table(language, sets),
        differences="".join(f"{one}\n\n" for one in differences),
        images=words["between"].join(dict.fromkeys(row["pictures"] for row in rows)),
        machines=words["between"].join(machines(language, rows)),
        commands="\n".join(dict.fromkeys(command(row) for row in rows)),
    )


def table(language: str, sets: Sets) -> str:
    """Return a line for each set of trainings that differ by the seed alone."""
    lines = [WORDS[language]["head"]]
    for (recipe, options), by_framework in sets.items():
        for framework, group in by_framework.items():
            seeds = " ".join(sorted((str(row["seed"]) for row in group), key=int))
            epochs = " ".join(dict.fromkeys(str(row["epochs"]) for row in group))
            cells = [recipe, f"`{options}`" if options else "", NAMES[framework], seeds]
            cells += [spread(list(values(group, name))) for name in ("val_top1", "val_top5")]
            cells += [epochs, f"{np.median(values(group, 'images_per_s')):.0f}"]
            lines.append([*cells, minutes(language, group)])
    return markdown.table(lines)


def minutes(language: str, group: list[Row]) -> str:
    """Return the least and the most minutes of a set; a training may have no time."""
    words = WORDS[language]
    timed = [one for one in group if one["seconds"]]
    if not timed:
        return "–"
    found = values(timed, "seconds") / 60
    told = words["to"].join(dict.fromkeys(f"{one:.0f}" for one in (min(found), max(found))))
    if len(timed) == len(group):
        return told
    return words["timed"].format(minutes=told, timed=len(timed), all=len(group))


def values(group: list[Row], name: str) -> np.ndarray:
    """Return one number of each training of a set, [trainings]."""
    return np.array([float(row[name]) for row in group])


def difference(language: str, recipe: str, options: str, by_framework: dict[str, list[Row]]) -> str:
    """Return what the frameworks differ by, and how far that shows that they agree."""
    words = WORDS[language]
    left, right = (values(by_framework[name], "val_top1") for name in NAMES)
    outcome = equivalence.compare(left, right, margin=0.0)
    told = words["difference"].format(set=f"{recipe} {options}".strip(), points=outcome.difference)
    if outcome.equality is None:
        return told + words["one"]
    low, high = outcome.equality
    said = words["chance" if low <= 0 <= high else "more"]
    told += words["interval"].format(low=low, high=high, said=said)
    low, high = outcome.agreement
    deviations = [equivalence.deviation(side) for side in (left, right)]
    needed = equivalence.runs_needed(deviations, MARGIN, POWER) or f"> {equivalence.MOST:,}"
    return told + words["agree"].format(
        within=max(abs(low), abs(high)), low=low, high=high, margin=MARGIN, needed=needed
    )


def machines(language: str, rows: Iterable[Row]) -> list[str]:
    """Return what the trainings ran on, each machine once."""
    return list(dict.fromkeys(WORDS[language]["machine"].format(**row) for row in rows))


def command(row: Row) -> str:
    """Return the command of a training, one for all seeds."""
    return row["command"].replace(f"--seed {row['seed']}", "--seed SEED", 1)
