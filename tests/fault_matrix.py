"""Plant every known fault in a copy of a tree, align, and write down what is caught and named.

    python -m tests.fault_matrix                       # all; resumes where it was stopped
    python -m tests.fault_matrix --fresh               # all again, from the first
    python -m tests.fault_matrix --only "no momentum" stride      # these again

Writes docs/results/faults.csv and faults.png; `row` is a number of the list below, if it has one.
A fault is caught if its checkpoint is the first that diverges, and named if place, cause and fix
hold the words that a student needs. Controls are correct ports, which must raise no alarm. Exit
status 1 where a fault is missed or a control is not passed.
"""

import argparse
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.util import Finalize
from pathlib import Path
from types import ModuleType
from unittest import mock

from common.paths import ROOT
from common.tables import read_csv, write_csv
from common.training import plots
from experiments import compare_libraries
from portproof.core.verdict import CHECKPOINTS
from portproof.system.atomic import replace_atomically
from portproof.worker import client
from tests.support.helpers import call
from tests.support.odd_images import make_folder_with_odd
from tests.support.planted import CONTROLS, FAULTS, PAPER_FAULTS
from tests.support.planted_data import DATA_FAULTS, SPELLINGS
from tests.support.planted_training import FAULTS as TRAINING_FAULTS
from tests.support.planted_training import PAIRS, SAME
from tests.support.trees import SMALL, Edits, copy_tree
from tools import align, compare_data, compare_forward, compare_training

RESULTS = ROOT / "docs" / "results" / "faults"
SEEDS = range(5)
STEPS = 4
PAPER = ("--model", "alexnet-paper", "--image-size", "67")

# The faults that porting guides and issue threads know, by number, and which of these are which.
KNOWN = {
    "1": ("linear not transposed", "square linear not transposed"), "2": ("key not loaded",),
    "3": ("running statistics not loaded",),
    "4": ("average pooling counts no padding", "average pooling by a function"),
    "5": ("bias lost", "bias gained"),
    "6": ("stride", "padding", "kernel", "pooling kernel", "pooling ceil_mode"),
    "7": ("left in train mode", "dropout as a function, always on"),
    "8": ("dropout scales in evaluation", "dropout scales in evaluation, as a function"),
    "9": ("dropout missing", "dropout in another place", "another dropout rate"),
    "10": ("epsilon", "epsilon of a function"), "11": ("momentum of batch normalization",),
    "12": ("pooling that agrees at 224 pixels only",),
    "13": ("channels reversed as decoded", "channels reversed after normalization"),
    "14": ("interpolation", "interpolation without antialiasing", "another resize"),
    "15": ("values 0 to 255", "not normalized", "divided by 256"),
    "16": ("wrong mean", "mean and std exchanged"),
    "17": ("labels shifted", "classes sorted otherwise"), "18": ("flip missing",),
    "19": ("crop area", "crop aspect"), "20": ("evaluation shuffled",),
    "21": ("metric as a fraction", "metric averaged over batches"), "22": ("softmax twice",),
    "23": ("loss summed",), "24": ("graph cut",),
    "25": ("a layer frozen", "layer left out of the optimizer"), "26": ("plain SGD", "no momentum"),
    "27": ("no weight decay", "ten times the decay"), "28": ("decoupled decay",),
    "29": ("RMSProp's defaults", "RMSProp's epsilon"), "30": ("schedule not attached",),
    "31": ("schedule not stepped",),
    "32": ("another step size", "another factor", "another warm-up"),
    "33": ("rate not scaled", "rate not scaled to the processes"),
    "34": ("the framework's own start", "bias starts at 0"),
    "35": ("gradients not averaged", "gradients averaged twice"),
    "36": ("evaluation counts padded images twice",),
    "37": ("resume loses the velocity", "resume loses the epoch", "resume loses the schedule",
           "resume loses the schedule of PyTorch"),
    "38": ("exported in train mode", "exported for one batch"),
}  # fmt: skip
ROWS = {name: number for number, names in KNOWN.items() for name in names}
# Sizes, batches, classes, threads, workers, other networks: correct ports under other settings.
LIBRARIES = ("resnet18", "vgg11_bn", "mobilenet_v2", "squeezenet1_1")
SIZES = [(224, 1, 1000), (192, 7, 10), (127, 32, 2)]  # pixels, batch, classes


@dataclass(frozen=True)
class Case:
    """A change of the trees, or settings of a tool. A control has no checkpoint."""

    name: str
    paddle: Edits = ()
    torch: Edits = ()
    checkpoint: str = ""
    words: tuple[str, ...] = ()
    row: str = ""
    tool: ModuleType = align
    options: tuple[str, ...] = ()
    threads: int = 0  # 0: as many as the tools take


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    kind: str  # fault or control
    row: str
    name: str
    expected: str  # checkpoint
    first: str  # the first that diverged
    caught: bool
    named: bool
    seconds: float
    told: str  # by the tool


def cases() -> list[Case]:
    """Return all faults, then all controls."""
    rows = []
    for name, (paddle, torch, where, words) in FAULTS.items():
        rows.append(Case(name, paddle, torch, "forward", (where, *words)))
    for name, (checkpoint, edits, where, words) in DATA_FAULTS.items():
        if name != "flip missing and a wrong mean":  # two faults
            rows.append(Case(name, edits, [], checkpoint, (where, *words)))
    for name, (edits, checkpoint, words) in TRAINING_FAULTS.items():
        if name not in FAULTS:  # seen in the forward pass already
            rows.append(Case(name, edits, [], checkpoint, tuple(words)))
    for name, (paddle, torch, checkpoint, words) in PAIRS.items():
        rows.append(Case(name, paddle, torch, checkpoint, tuple(words)))
    rows = [replace(case, row=ROWS.get(case.name, "")) for case in rows]
    for name, (edits, where, words) in PAPER_FAULTS.items():
        rows.append(Case(name, edits, (), "forward", (where, *words), options=PAPER))
    return rows + controls()


def controls() -> list[Case]:
    """Return the correct ports."""
    rows = [
        Case(f"as they are, seed {seed}", row="a", options=("--seed", str(seed))) for seed in SEEDS
    ]
    for size, batch, classes in SIZES:
        options = ("--image-size", f"{size}", "--batch-size", f"{batch}")
        options += ("--num-classes", f"{classes}")
        name = f"{size} pixels, batch {batch}, {classes} classes"
        rows.append(Case(name, row="b", tool=compare_forward, options=options))
    for size, batch in ((192, 7), (127, 3)):
        options = ("--image-size", str(size), "--batch-size", str(batch), "--steps", "3")
        name = f"three steps at {size} pixels, batch {batch}"
        rows.append(Case(name, row="b", tool=compare_training, options=(*options, "--drawn")))
    for name, (paddle, torch) in SAME.items():
        row = "c" if "Nesterov" in name or "dampening" in name else "e"
        rows.append(Case(name, paddle, torch, row=row))
    for name, (paddle, torch, _) in CONTROLS.items():
        if paddle or torch:
            rows.append(Case(name, paddle, torch, row="d"))
    rows += [Case(name, edits, row="d") for name, edits in SPELLINGS.items()]
    for threads in (1, 2, 4):
        rows.append(Case(f"{threads} threads", row="f", threads=threads))
    for workers in (0, 1, 2):
        options = ("--workers", str(workers), "--epochs", "2")
        rows.append(Case(f"{workers} workers", row="f", tool=compare_data, options=options))
    rows.append(Case("the paper's network", options=PAPER))
    return rows + [Case(name, row="g", tool=compare_libraries) for name in LIBRARIES]


def run(case: Case, folder: Path, torch_tree: Path, images: Path) -> Outcome:
    """Plant one fault and align, up to the checkpoint that should catch it."""
    start = time.perf_counter()
    if case.tool is compare_libraries:
        first, words = run_libraries(case, folder)
    else:
        first, words = run_tool(case, folder, torch_tree, images)
    seconds = round(time.perf_counter() - start, 1)
    caught = first == case.checkpoint
    named = caught and all(word in words for word in case.words)
    kind = "fault" if case.checkpoint else "control"
    words = words.replace(str(folder), "").replace(str(ROOT), "")
    # Line numbers move with every edit of the trees; the code that is quoted is found without.
    words = re.sub(r"\.py:\d+", ".py", words)
    measured = (first, caught, named, seconds, words)
    return Outcome(kind, case.row, case.name, case.checkpoint, *measured)


def run_tool(case: Case, folder: Path, torch_tree: Path, images: Path) -> tuple[str, str]:
    """Run a tool on the trees; return the first checkpoint that diverged, and what it said."""
    if case.torch or case.threads:  # a process keeps the threads that it began with
        torch_tree = copy_tree("torch", folder / "AlexNet-torch", [*case.torch, *SMALL])
    tree = copy_tree("paddle", folder / "AlexNet-paddle", [*case.paddle, *SMALL])
    file = folder / "report.json"
    options = ["--torch-tree", torch_tree, "--paddle-tree", tree, "--json", file]
    if case.tool in (align, compare_data):
        options += ["--data-path", images, "--image-size", "64", "--batch-size", "5"]
    if case.tool is align:
        options += ["--steps", STEPS]
    if case.checkpoint:
        upto = CHECKPOINTS[: CHECKPOINTS.index(case.checkpoint) + 1]
        options += ["--only", ",".join(upto)]
    run_quietly(case.tool, [*options, *case.options], case.threads)
    report = json.loads(file.read_text())
    if "checkpoints" not in report:  # of compare_forward
        return ("" if report["aligned"] else "forward"), json.dumps(report.get("causes", ""))
    verdicts = {row["name"]: row for row in report["checkpoints"]}
    failed = [name for name, row in verdicts.items() if row["verdict"] in ("diverged", "error")]
    first = report.get("first_divergence") or next(iter(failed), "")
    verdict = verdicts.get(first, {})
    return first, " ".join(str(verdict.get(n) or "") for n in ("where", "cause", "fix", "why"))


def run_libraries(case: Case, folder: Path) -> tuple[str, str]:
    """Compare a network of both libraries, mended where they differ, as squeezenet1_1's do."""
    stem = folder / "libraries"
    run_quietly(compare_libraries, ["--only", case.name, "--out", stem])
    names = case.name, f"{case.name}, mended"
    row = [row for row in read_csv(stem.with_suffix(".csv")) if row["network"] in names][-1]
    return ("" if row["verdict"] == "same" else "forward"), row["what"]


def run_quietly(tool: ModuleType, options: list, threads: int = 0) -> None:
    """Run a tool in this process, with no word of it shown."""
    environment = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    with mock.patch.dict(os.environ, environment):
        call(tool.main, [str(word) for word in options])


def read(path: Path) -> dict[str, Outcome]:
    """Return the rows of an earlier table by name."""
    rows = read_csv(path)
    for row in rows:
        row |= {name: row[name] == "True" for name in ("caught", "named")}
        row["seconds"] = float(row["seconds"])
    return {row["name"]: Outcome(**row) for row in rows}


COLORS = {
    "#14632b": "caught and named (controls: no alarm)",
    "#e0a100": "caught, named badly",
    "#b3261e": "missed, or a false alarm",
}


def draw(outcomes: list[Outcome], path: Path) -> None:
    """Draw, for each checkpoint, how many faults are caught and named, caught alone, or missed."""
    figure = plots.new_figure(9, 4.2)
    axes = figure.subplots()
    groups = {name: [row for row in outcomes if row.expected == name] for name in CHECKPOINTS}
    groups["controls"] = [row for row in outcomes if row.kind == "control"]
    groups = {name: group for name, group in groups.items() if group}
    for y, group in enumerate(groups.values()):
        named = sum(row.named for row in group)
        caught = sum(row.caught for row in group) - named
        left = 0
        for count, color in zip((named, caught, len(group) - named - caught), COLORS, strict=True):
            axes.barh(y, count, left=left, color=color)
            if count:
                axes.text(left + count / 2, y, str(count), ha="center", va="center", color="w")
            left += count
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.set_xlabel("planted faults, by the checkpoint that must catch them; correct ports below")
    handles = [axes.barh(0, 0, color=color, label=label) for color, label in COLORS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, format="png", dpi=110)


def start_worker() -> None:
    """Have the probes of this process answer many requests, on a core each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kept = client.kept_running()
    kept.__enter__()
    Finalize(None, kept.__exit__, (None, None, None), exitpriority=10)  # as the process ends


def run_named(name: str, *paths: Path) -> Outcome:
    """Run the case of this name, in a process of its own."""
    return run(next(case for case in cases() if case.name == name), *paths)


def in_order(outcomes: dict[str, Outcome]) -> list[Outcome]:
    return [outcomes[case.name] for case in cases() if case.name in outcomes]


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant every known fault and align.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--fresh", action="store_true", help="run again what the table has already")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="cases at a time (2)")
    args = parser.parse_args()
    chosen = [case for case in cases() if not args.only or case.name in args.only]
    if unknown := set(args.only or []) - {case.name for case in chosen}:
        parser.error(f"no case {', '.join(sorted(unknown))}")
    outcomes = read(RESULTS.with_suffix(".csv"))
    if args.fresh or args.only:
        for case in chosen:
            outcomes.pop(case.name, None)
    left = [case for case in chosen if case.name not in outcomes]
    pool = ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn"), start_worker)
    with tempfile.TemporaryDirectory() as scratch, pool:
        torch_tree = copy_tree("torch", Path(scratch) / "trees" / "AlexNet-torch", SMALL)
        images = make_folder_with_odd(Path(scratch) / "images")
        waiting = {}
        for number, case in enumerate(left):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            job = pool.submit(run_named, case.name, folder, torch_tree, images)
            waiting[job] = folder
        for number, job in enumerate(as_completed(waiting), 1):
            outcome = job.result()
            outcomes[outcome.name] = outcome
            shutil.rmtree(waiting[job])
            word = "ok" if outcome.named else "caught" if outcome.caught else "MISSED"
            print(f"{number}/{len(left)} {outcome.name}: {word}, {outcome.seconds} s", flush=True)
            rows = map(asdict, in_order(outcomes))
            write_csv(RESULTS.with_suffix(".csv"), [f.name for f in fields(Outcome)], rows)
    with replace_atomically(RESULTS.with_suffix(".png")) as partial:
        draw(in_order(outcomes), partial)
    return 0 if all(outcomes[case.name].named for case in chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
