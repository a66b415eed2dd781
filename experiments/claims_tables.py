"""What is said of the claims: effects over the seeds, as CSV files and as the tables of a page."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from common.paths import DATA_DIR
from common.tables import write_csv
from experiments.pages import Words, spread
from experiments.plan import ARMS, CLAIMS, HALF_PARAMETERS, PARAMETERS, claims_of
from experiments.runs import Outcome, last_seen
from experiments.verdicts import Effect, difference, ratio, verdict
from portproof.report import markdown
from portproof.system import frameworks
from portproof.system.frameworks import FRAMEWORKS

GROUPS = (*FRAMEWORKS, "both")  # columns of the table
NAMES = frameworks.NAMES | {"both": "both together"}
GOAL_ARMS = ("relu", "tanh")
COLUMNS = (
    "claims", "arm", "framework", "seed", "epochs", "val_error", "train_error", "overfitting",
    "ten_crop_error", "running_train_error", "epochs_to_goal", "seconds", "processor", "versions",
    "command",
)  # fmt: skip
EPOCH_COLUMNS = ("arm", "framework", "seed", "epoch", "train_top1", "val_top1")
Effects = dict[str, dict[str, Effect | None]]  # by claim, then by framework or "both"


def effects_of(claim: str, outcomes: Sequence[Outcome]) -> dict[str, Effect | None]:
    """Return a claim's effect in each framework that has outcomes, and in both together."""
    groups = {}
    for name in FRAMEWORKS:
        if pairs := pairs_of(claim, name, outcomes):
            groups[name] = pairs
    if len(groups) > 1:
        groups["both"] = [pair for pairs in groups.values() for pair in pairs]
    if not CLAIMS[claim].is_ratio:
        return {name: difference(pairs) for name, pairs in groups.items()}
    epochs = min(run["epochs"] for run in outcomes if claim in claims_of(run["arm"]))
    return {name: ratio(pairs, last_seen(epochs)) for name, pairs in groups.items()}


def pairs_of(
    claim: str, framework: str, outcomes: Sequence[Outcome]
) -> list[tuple[float | None, float | None]]:
    """Return (with the idea, without it) for each seed that has both."""
    _, *arms, columns, _ = CLAIMS[claim]
    with_, without = (
        {run["seed"]: run[column] for run in runs_of(arm, framework, outcomes)}
        for arm, column in zip(arms, columns, strict=True)
    )
    return [(with_[seed], without[seed]) for seed in sorted(with_.keys() & without.keys())]


def runs_of(arm: str, framework: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [run for run in outcomes if (run["arm"], run["framework"]) == (arm, framework)]


def write_runs(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a line for each training; `running_train_error` is the mean over the last epoch."""
    lines = []
    for run in outcomes:
        line = {name: run.get(name) for name in COLUMNS}
        line["running_train_error"] = 100 - run["rows"][-1]["train_top1"]
        line["claims"] = " ".join(claims_of(run["arm"]))
        if run["epochs_to_goal"] is None:
            line["epochs_to_goal"] = f"more than {last_seen(run['epochs']):g}"
        line["processor"] = run["machine"]["processor"]
        line["versions"] = " ".join(f"{name}={v}" for name, v in run["versions"].items())
        lines.append({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()})
    write_csv(path, COLUMNS, lines)


def write_epochs(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a line for each epoch of each training, of which the curves are drawn."""
    lines = []
    for run in outcomes:
        key = {name: run[name] for name in ("arm", "framework", "seed")}
        lines += [key | row for row in run["rows"]]
    write_csv(path, EPOCH_COLUMNS, lines)


def values(
    effects: Effects, outcomes: Sequence[Outcome], images: dict, words: Words
) -> dict[str, object]:
    """Return what the page shows; `images` says where they are from and how many there are."""
    first = outcomes[0]
    source = Path(images["of"])
    epochs = {run["arm"]: run["epochs"] for run in outcomes}
    return {
        "table": table(effects, words),
        "arms": arms_table(outcomes, words),
        "data": source.name,
        "option": "--dataset" if source.parent == DATA_DIR else "--data-path",
        "train": f"{images['train']:,}",
        "val": f"{images['val']:,}",
        "parameters": f"{PARAMETERS:,}",
        "half": f"{HALF_PARAMETERS:,}",
        "rates": {arm: ARMS[arm].options["--lr"] for arm in ARMS},
        "epochs": {arm: epochs.get(arm, ARMS[arm].epochs) for arm in ARMS},
        "machine": first["machine"],
        "versions": ", ".join(f"{name} {number}" for name, number in first["versions"].items()),
    }


def table(effects: Effects, words: Words) -> str:
    """Return the effects and verdicts as a Markdown table."""
    rows = [words["head"]]
    for claim, groups in effects.items():
        cells = [cell(groups[name], words) if name in groups else "" for name in GROUPS]
        paper = words["paper"].get(claim) or f"{CLAIMS[claim].paper:g}"
        rows.append((words["claim"][claim], paper, *cells))
    return markdown.table(rows)


def cell(effect: Effect | None, words: Words) -> str:
    """Return an effect with its interval and verdict: a ratio, or a difference with its sign."""
    said = f"**{words[verdict(effect)]}**"
    if effect is None:
        return f"{said}: {words['none']}"
    form = "{:.2f}" if effect.none else "{:+.2f}"
    value, low, high = (form.format(number) for number in effect[:3])
    if effect.bound:
        return f"{said}: {words[effect.bound]}{value}"
    interval = f" ({low}{words['to']}{high})" if math.isfinite(effect.low) else ""
    return f"{said}: {value}{interval}"


def arms_table(outcomes: Sequence[Outcome], words: Words) -> str:
    """Return each arm's means over its seeds, with their standard deviations."""
    rows = [words["arms"]]
    for arm, framework in product(ARMS, FRAMEWORKS):
        runs = runs_of(arm, framework, outcomes)
        if not runs:
            continue
        cells = [words["arm"][arm], NAMES[framework], len(runs)]
        for measure in ("val_error", "train_error", "epochs_to_goal"):
            cells.append(spread([run.get(measure) for run in runs]))
        rows.append(cells if arm in GOAL_ARMS else [*cells[:-1], ""])
    return markdown.table(rows)
