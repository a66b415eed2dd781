"""Kill a training at random moments, resume it, and compare it with one that was never stopped.

    python -m tests.crash --framework torch --kills 20

Every second kill (SIGKILL) comes while a file is written: as soon as a temporary file is seen in
the run folder. A run that ends before the last kill is compared, and another one begins. Compared
are the bits of all weights and of what the optimizer keeps, and epoch, learning rate, losses and
accuracies in metrics.jsonl; every checkpoint is intact and nothing is half-written. The tree is a
copy with small hidden layers, in one thread, on whose number the order of sums depends. Adds a row
to docs/results/crash.csv. Exit status 1 where a run differs.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common.paths import ROOT
from common.tables import read_csv, write_csv
from common.training import checkpoint_files
from common.training.run_folder import read_metrics
from portproof.files import pickles
from tests.support import helpers
from tests.support.helpers import FRAMEWORKS, SUFFIX, TIMEOUT, make_folder, one_thread
from tests.support.trees import SMALL, copy_tree

RESULTS = ROOT / "docs" / "results" / "crash.csv"
COMPARED = ("epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5")
EPOCHS = 8
# Three steps an epoch, the last of one batch; a checkpoint after each.
OPTIONS = ["--recipe", "sample", "--image-size", 63, "--batch-size", 4, "--warmup-epochs", 0.5]
OPTIONS += ["--accumulate", 2, "--ema", 0.5, "--workers", 1, "--save-every", 1]


class Outcome(NamedTuple):
    framework: str
    kills: int
    during_writes: int
    seconds: float
    equal: bool


class Trainings:
    """A tree, its images, and the run that nothing stops."""

    def __init__(self, framework: str, folder: Path, epochs: int, python=sys.executable) -> None:
        self.framework, self.suffix, self.folder = framework, SUFFIX[framework], folder
        self.output = folder / "output"
        self.tree = copy_tree(framework, folder / f"AlexNet-{framework}", SMALL)
        self.images = make_folder(folder / "images")
        self.epochs = epochs
        self.whole = folder / "whole"
        process = self.start(self.whole, python=python)
        began = self.wait(process, lambda: (self.whole / "args.json").exists())
        self.seconds = self.wait(process, lambda: self.is_over(self.whole)) - began  # of training
        assert process.wait(TIMEOUT) == 0, self.output.read_text()

    def start(
        self, run: Path, resume: str | Path = "auto", python: str | Path = sys.executable
    ) -> subprocess.Popen:
        """Begin a run or resume it, in a process group of its own."""
        command = [python, self.tree / "train.py", "--data-path", self.images, *OPTIONS]
        command += ["--epochs", self.epochs, "--output-dir", run, "--resume", resume]
        with open(self.output, "w") as output:
            streams = {"stdout": output, "stderr": output}
            return helpers.start(*command, **streams, env=one_thread(), start_new_session=True)

    def wait(self, process: subprocess.Popen, is_reached: Callable[[], bool]) -> float:
        """Wait until something is so or the process ends; return the time then."""
        helpers.wait_until(is_reached, process, pause=0.001)  # a checkpoint is written in ten
        return time.monotonic()

    def is_over(self, run: Path) -> bool:
        """Say whether all epochs of a run are over; the curves may be left to draw."""
        return epochs(run) == self.epochs

    def differences(self, run: Path) -> list[str]:
        """Return in words how a run that has ended differs from the one that nothing stopped."""
        messages = []
        if half_written(run):
            messages.append("a file is left half-written")
        if names(run) != names(self.whole):
            messages.append(f"files: {sorted(names(run) ^ names(self.whole))}")
        for _, path in checkpoint_files.listed(run, self.suffix):
            if not checkpoint_files.is_intact(path):
                messages.append(f"{path.name} is damaged")
        for name in (f"last{self.suffix}", f"best{self.suffix}"):
            if arrays(run / name) != arrays(self.whole / name):
                messages.append(f"{name}: other numbers")
        if metrics(run) != metrics(self.whole):
            messages.append("metrics.jsonl: other numbers")
        return messages


def half_written(run: Path) -> list[str]:
    return [path.name for path in run.glob(".*.partial*")]


def names(run: Path) -> set[str]:
    """Return the names in a run folder; of checkpoints the step alone."""
    return {path.name.rsplit("-", 1)[0] for path in run.iterdir()}


def metrics(run: Path) -> list[list[float]]:
    """Return of each epoch what does not depend on the time that it took."""
    return [[row[key] for key in COMPARED] for row in read_metrics(run)]


def arrays(checkpoint: Path) -> dict[str, bytes]:
    """Return the bytes of all arrays of a checkpoint: weights, velocities, averages."""
    if checkpoint.suffix == ".pdparams":
        contents = pickles.read(checkpoint)
        parts = [(part, name) for part in ("model", "optimizer", "ema") for name in contents[part]]
        every = {f"{part} {name}": contents[part][name] for part, name in parts}
        return {name: array.tobytes() for name, array in every.items() if hasattr(array, "tobytes")}
    with zipfile.ZipFile(checkpoint) as archive:
        return {name: archive.read(name) for name in archive.namelist() if "/data/" in name}


def crash(trainings: Trainings, kills: int, seed: int = 0) -> Outcome:
    """Kill runs `kills` times; say how it went. Prints a line for each kill and difference."""
    draw = random.Random(seed)
    start = time.monotonic()
    kill, during, number, differences = 0, 0, 0, []
    while not differences:  # the next runs would differ the same way
        run = trainings.folder / f"run-{number}"
        was_over = trainings.is_over(run)  # a kill among its last files is enough
        process = trainings.start(run)
        if kill < kills and not was_over and strike(trainings, process, run, kill % 2 == 1, draw):
            kill += 1
            left = half_written(run)
            during += bool(left)
            print(f"kill {kill}: {run.name}, {epochs(run)} epochs over, half-written: {left}")
            continue
        if status := process.wait(TIMEOUT):
            differences = [f"exit status {status}"]
        else:
            differences = trainings.differences(run)
        if not differences:
            shutil.rmtree(run)
        number += 1
        if kill == kills:
            break
    for difference in differences:
        print(f"different: {run.name}: {difference}")
    seconds = round(time.monotonic() - start, 1)
    return Outcome(trainings.framework, kill, during, seconds, not differences)


def strike(
    trainings: Trainings, process: subprocess.Popen, run: Path, at_write: bool, draw: random.Random
) -> bool:
    """Kill the process at a drawn moment; say whether it was still there to be killed."""
    args = run / "args.json"
    before = args.stat().st_mtime_ns if args.exists() else 0
    trainings.wait(process, lambda: args.exists() and args.stat().st_mtime_ns > before)
    moment = time.monotonic() + draw.uniform(0, 1.1 * trainings.seconds)
    trainings.wait(process, lambda: time.monotonic() >= moment)
    if at_write:
        trainings.wait(process, lambda: any(run.glob(".*.partial*")))
    alive = process.poll() is None
    if alive:
        process.kill()
        process.wait()
    return alive


def epochs(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def add_row(file: Path, outcome: Outcome) -> None:
    """Write a row of the results in place of the framework's last one."""
    rows = {row["framework"]: row for row in read_csv(file)}
    rows[outcome.framework] = outcome._asdict()
    write_csv(file, Outcome._fields, [rows[framework] for framework in sorted(rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", choices=FRAMEWORKS, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = crash(Trainings(args.framework, Path(folder), EPOCHS), args.kills, args.seed)
    add_row(RESULTS, outcome)
    print(f"{outcome}")
    return not outcome.equal


if __name__ == "__main__":
    sys.exit(main())
