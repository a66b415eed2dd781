"""What the page of an accuracy baseline shows: means, spreads, what the frameworks differ by."""

from typing import Any

import numpy as np

from experiments.pages import Words, spread
from portproof.report import markdown
from portproof.runs import equivalence
from portproof.system.frameworks import NAMES

MARGIN, POWER = 0.15, 0.8  # points: what compare_runs takes; and the chance to show it

Row = dict[str, Any]
Sets = dict[tuple[str, str], dict[str, list[Row]]]  # by (recipe, options), then by framework


def values(rows: list[Row], words: Words) -> dict[str, str]:
    """Return what the page of these trainings shows, in the words of its language."""
    sets: Sets = {}
    for row in rows:
        by_framework = sets.setdefault((row["recipe"], row["options"]), {})
        by_framework.setdefault(row["framework"], []).append(row)
    differences = [
        difference(f"{recipe} {options}".strip(), by_framework, words)
        for (recipe, options), by_framework in sets.items()
        if len(by_framework) == len(NAMES)
    ]
    machines = [words["machine"].format(**row) for row in rows]
    commands = [row["command"].replace(f"--seed {row['seed']}", "--seed SEED", 1) for row in rows]
    return {
        "table": table(sets, words),
        "differences": "".join(f"{sentence}\n\n" for sentence in differences),
        "images": words["between"].join(dict.fromkeys(row["pictures"] for row in rows)),
        "machines": words["between"].join(dict.fromkeys(machines)),
        "commands": "\n".join(dict.fromkeys(commands)),
    }


def table(sets: Sets, words: Words) -> str:
    """Return a line for each set of trainings that differ by the seed alone."""
    lines = [words["head"]]
    for (recipe, options), by_framework in sets.items():
        for framework, group in by_framework.items():
            seeds = " ".join(sorted((str(row["seed"]) for row in group), key=int))
            epochs = " ".join(dict.fromkeys(str(row["epochs"]) for row in group))
            cells = [recipe, f"`{options}`" if options else "", NAMES[framework], seeds]
            cells += [spread(list(column(group, name))) for name in ("val_top1", "val_top5")]
            cells += [epochs, f"{np.median(column(group, 'images_per_s')):.0f}"]
            lines.append([*cells, minutes(group, words)])
    return markdown.table(lines)


def minutes(group: list[Row], words: Words) -> str:
    """Return the least and the most minutes of a set; a training may have no time."""
    timed = [row for row in group if row["seconds"]]
    if not timed:
        return "–"
    times = column(timed, "seconds") / 60
    limits = words["to"].join(dict.fromkeys(f"{time:.0f}" for time in (min(times), max(times))))
    if len(timed) == len(group):
        return limits
    return words["timed"].format(minutes=limits, timed=len(timed), all=len(group))


def column(group: list[Row], name: str) -> np.ndarray:
    """Return one number of each training of a set, [trainings]."""
    return np.array([float(row[name]) for row in group])


def difference(name: str, by_framework: dict[str, list[Row]], words: Words) -> str:
    """Return what the frameworks differ by in a set, and how far that shows that they agree."""
    left, right = (column(by_framework[framework], "val_top1") for framework in NAMES)
    outcome = equivalence.compare(left, right, margin=0.0)
    sentence = words["difference"].format(set=name, points=outcome.difference)
    if outcome.equality is None:
        return sentence + words["one"]
    low, high = outcome.equality
    said = words["chance" if low <= 0 <= high else "more"]
    sentence += words["interval"].format(low=low, high=high, said=said)
    low, high = outcome.agreement
    deviations = [equivalence.deviation(side) for side in (left, right)]
    needed = equivalence.runs_needed(deviations, MARGIN, POWER) or f"> {equivalence.MOST:,}"
    return sentence + words["agree"].format(
        within=max(abs(low), abs(high)), low=low, high=high, margin=MARGIN, needed=needed
    )
