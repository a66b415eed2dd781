"""Plant every known fault in a copy of a tree, align, and write down what is caught and named.

    python -m tests.fault_matrix                       # all; resumes where it was stopped
    python -m tests.fault_matrix --only "no momentum" stride --fresh

Writes docs/results/faults.csv and faults.png. A fault counts as caught if its checkpoint is the
first that diverges, and as named if place, cause and fix hold the words that a student needs. The
controls are correct ports, which must raise no alarm. Exit status 1 where a fault is missed or a
control is not passed.
"""

import argparse
import contextlib
import csv
import io
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from common import plots
from common.paths import ROOT
from common.run_folder import replace_whole
from tests.helpers import make_folder
from tests.odd_pictures import write_odd_pictures
from tests.planted import CONTROLS, FAULTS
from tests.planted_data import DATA_FAULTS, SPELLINGS
from tests.planted_training import FAULTS as TRAINING_FAULTS
from tests.trees import SMALL, Edits, copy_tree
from tools import align, probes
from tools.verdicts import CHECKPOINTS

RESULTS = ROOT / "docs" / "results" / "faults"
SEEDS = range(5)
STEPS = 4


@dataclass(frozen=True)
class Case:
    """A change of the trees. A control has no checkpoint."""

    name: str
    paddle: Edits
    torch: Edits
    checkpoint: str = ""
    words: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    kind: str  # fault or control
    name: str
    expected: str  # checkpoint
    first: str  # the first that diverged
    caught: bool
    named: bool
    seconds: float
    told: str


def cases() -> list[Case]:
    """Return all faults, then all controls."""
    found = [
        Case(name, paddle, torch, "forward", (where, *words))
        for name, (paddle, torch, where, words) in FAULTS.items()
    ]
    found += [
        Case(name, edits, [], checkpoint, (where, *words))
        for name, (checkpoint, edits, where, words) in DATA_FAULTS.items()
        if name != "flip missing and a wrong mean"  # two faults
    ]
    found += [
        Case(name, edits, [], checkpoint, tuple(words))
        for name, (edits, checkpoint, words) in TRAINING_FAULTS.items()
        if name not in FAULTS  # seen in the forward pass already
    ]
    found += [Case(f"as they are, seed {seed}", [], [], seed=seed) for seed in SEEDS]
    found += [Case(name, own, torch) for name, (own, torch, _) in CONTROLS.items() if own or torch]
    found += [Case(name, edits, []) for name, edits in SPELLINGS.items()]
    return found


def run(case: Case, folder: Path, torch_tree: Path, pictures: Path) -> Outcome:
    """Plant one fault and align, up to the checkpoint that should catch it."""
    if case.torch:
        torch_tree = copy_tree("torch", folder / "AlexNet-torch", case.torch + SMALL)
    tree = copy_tree("paddle", folder / "AlexNet-paddle", case.paddle + SMALL)
    options = ["--torch-tree", torch_tree, "--paddle-tree", tree, "--json", folder / "found.json"]
    options += [
        "--data-path",
        pictures,
        "--image-size",
        64,
        "--batch-size",
        5,
        "--seed",
        case.seed,
        "--steps",
        STEPS,
    ]
    if case.checkpoint:
        upto = CHECKPOINTS[: CHECKPOINTS.index(case.checkpoint) + 1]
        options += ["--only", ",".join(upto)]
    sys.argv = ["align.py", *map(str, options)]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        align.main()
    seconds = time.perf_counter() - start
    found = json.loads((folder / "found.json").read_text())
    first = found["first_divergence"] or next(
        (one["name"] for one in found["checkpoints"] if one["verdict"] == "error"), ""
    )
    verdict = next((one for one in found["checkpoints"] if one["name"] == first), {})
    told = " ".join(str(verdict.get(name) or "") for name in ("where", "cause", "fix", "why"))
    caught = first == case.checkpoint
    named = caught and all(word in told for word in case.words)
    kind = "fault" if case.checkpoint else "control"
    told = told.replace(str(folder), "").replace(str(ROOT), "")
    return Outcome(kind, case.name, case.checkpoint, first, caught, named, round(seconds, 1), told)


def make_pictures(place: Path) -> Path:
    """Write three classes of pictures, with odd ones among them; the last batches are smaller."""
    folder = make_folder(place / "pictures", train=8, val=4)
    write_odd_pictures(place / "odd")
    for split in ("train", "val"):
        for name in ("turned.jpg", "grey.jpg", "portrait.jpg", "cmyk.jpg", "rgba.png"):
            shutil.copy(place / "odd" / name, folder / split / "cross" / name)
    return folder


def read(path: Path) -> dict[str, Outcome]:
    """Return the rows of an earlier table by name."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["name"]: Outcome(
            **{
                **row,
                "caught": row["caught"] == "True",
                "named": row["named"] == "True",
                "seconds": float(row["seconds"]),
            }
        )
        for row in rows
    }


def write(outcomes: list[Outcome]) -> None:
    """Write the table and the picture, each whole or not at all."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [f.name for f in fields(Outcome)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in outcomes)
    with replace_whole(RESULTS.with_suffix(".csv")) as partial:
        partial.write_text(buffer.getvalue())
    with replace_whole(RESULTS.with_suffix(".png")) as partial:
        draw(outcomes, partial)


def draw(outcomes: list[Outcome], path: Path) -> None:
    """Draw, for each checkpoint, how many faults are caught and named, caught alone, or missed."""
    figure = plots.new_figure(9, 4.2)
    axes = figure.subplots()
    faults = [one for one in outcomes if one.kind == "fault"]
    controls = [one for one in outcomes if one.kind == "control"]
    shown = [name for name in CHECKPOINTS if any(one.expected == name for one in faults)]
    groups = [(name, [one for one in faults if one.expected == name]) for name in shown]
    groups.append(("controls", controls))
    for place, (_, group) in enumerate(groups):
        named = sum(one.named for one in group)
        caught = sum(one.caught for one in group) - named
        left = 0
        for count, color in (
            (named, "#14632b"),
            (caught, "#e0a100"),
            (len(group) - named - caught, "#b3261e"),
        ):
            axes.barh(place, count, left=left, color=color)
            if count:
                axes.text(left + count / 2, place, str(count), ha="center", va="center", color="w")
            left += count
    axes.set_yticks(range(len(groups)), [name for name, _ in groups])
    axes.invert_yaxis()
    axes.set_xlabel("planted faults, by the checkpoint that must catch them; correct ports below")
    handles = [
        axes.barh(0, 0, color=color, label=label)
        for color, label in (
            ("#14632b", "caught and named (controls: no alarm)"),
            ("#e0a100", "caught, named badly"),
            ("#b3261e", "missed, or a false alarm"),
        )
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, format="png", dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant every known fault and align.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--fresh", action="store_true", help="do not take up an earlier table")
    args = parser.parse_args()
    chosen = [case for case in cases() if not args.only or case.name in args.only]
    outcomes = {} if args.fresh else read(RESULTS.with_suffix(".csv"))
    with tempfile.TemporaryDirectory() as place, probes.kept_running():
        torch_tree = copy_tree("torch", Path(place) / "trees" / "AlexNet-torch", SMALL)
        pictures = make_pictures(Path(place))
        for number, case in enumerate(chosen, 1):
            if case.name in outcomes and not args.only:
                continue
            folder = Path(place) / str(number)
            folder.mkdir()
            outcome = outcomes[case.name] = run(case, folder, torch_tree, pictures)
            shutil.rmtree(folder)
            word = "ok" if outcome.named else "caught" if outcome.caught else "MISSED"
            print(f"{number}/{len(chosen)} {case.name}: {word}, {outcome.seconds} s", flush=True)
            write([outcomes[one.name] for one in cases() if one.name in outcomes])
    return 0 if all(outcomes[case.name].named for case in chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
