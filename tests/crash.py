"""Kill a training at random moments, resume it, and compare it with one that was never stopped.

    python -m tests.crash --framework torch --kills 20

Each kill is a SIGKILL. Every second one comes while a file is being written: as soon as a
temporary file is seen in the run folder. When a run comes to its end before the last kill, it is
compared, and another one begins. What is compared: the bits of all weights and of all that the
optimizer keeps, and epoch, learning rate, losses and accuracies in metrics.jsonl; besides, every
checkpoint is intact and nothing is left half-written. The tree is a copy with small hidden layers,
in one thread, since the order of sums depends on their number. Adds a row to
docs/results/crash.csv. Exit status 1 where a run differs.
"""

import argparse
import csv
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from common.paths import ROOT
from common.training import checkpoint_files
from portproof.files import pickles
from portproof.system.atomic import replace_atomically
from tests.support.helpers import FRAMEWORKS, SUFFIX, TIMEOUT, make_folder, one_thread, read_metrics
from tests.support.trees import SMALL, copy_tree

RESULTS = ROOT / "docs" / "results" / "crash.csv"
COMPARED = ("epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5")
EPOCHS = 8
# Three steps an epoch, the last of one batch; a checkpoint after each.
OPTIONS = [
    "--recipe", "sample", "--image-size", 63, "--batch-size", 4,
    "--warmup-epochs", 0.5, "--accumulate", 2, "--ema", 0.5, "--workers", 1, "--save-every", 1,
]  # fmt: skip


class Found(NamedTuple):
    framework: str
    kills: int
    during_writes: int
    seconds: float
    equal: bool


class Trainings:
    """A tree, its images, and the run that nothing stops."""

    def __init__(self, framework: str, place: Path, epochs: int) -> None:
        self.framework = framework
        self.place = place
        self.tree = copy_tree(framework, place / f"AlexNet-{framework}", SMALL)
        self.data = make_folder(place / "data")
        self.epochs = epochs
        self.whole = place / "whole"
        process = self.start(self.whole)
        began = self.wait(process, lambda: (self.whole / "args.json").exists())
        self.seconds = self.wait(process, lambda: self.is_over(self.whole)) - began  # of training
        status = process.wait(TIMEOUT)
        assert status == 0, (place / "output").read_text()

    def start(self, run: Path, resume: str | Path = "auto") -> subprocess.Popen:
        """Begin a run or resume it, in a process group of its own."""
        command = [sys.executable, self.tree / "train.py", "--data-path", self.data, *OPTIONS]
        command += ["--epochs", self.epochs, "--output-dir", run, "--resume", resume]
        with open(self.place / "output", "a") as output:
            return subprocess.Popen(
                [str(word) for word in command],
                stdout=output,
                stderr=output,
                env=one_thread(),
                start_new_session=True,
            )

    def wait(self, process: subprocess.Popen, seen) -> float:
        """Wait until `seen` or the end of the process; return the time then."""
        limit = time.monotonic() + TIMEOUT
        while not seen() and process.poll() is None:
            assert time.monotonic() < limit, "the run hangs"
            time.sleep(0.0005)
        return time.monotonic()

    def is_over(self, run: Path) -> bool:
        """Say whether all epochs of a run are over; the curves may be left to draw."""
        return epochs(run) == self.epochs

    def differences(self, run: Path) -> list[str]:
        """Return in words how a run that has ended differs from the one that nothing stopped."""
        found = []
        suffix = SUFFIX[self.framework]
        if [path for path in run.glob(".*") if "partial" in path.name]:
            found.append("a file is left half-written")
        if names(run) != names(self.whole):
            found.append(f"files: {sorted(names(run) ^ names(self.whole))}")
        for _, path in checkpoint_files.listed(run, suffix):
            if not checkpoint_files.is_intact(path):
                found.append(f"{path.name} is damaged")
        for name in ("last", "best"):
            if arrays(run / f"{name}{suffix}") != arrays(self.whole / f"{name}{suffix}"):
                found.append(f"{name}: other numbers")
        if metrics(run) != metrics(self.whole):
            found.append("metrics.jsonl: other numbers")
        return found


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
        parts = {part: contents[part] for part in ("model", "optimizer", "ema")}
        return {
            f"{part} {name}": value.tobytes()
            for part, values in parts.items()
            for name, value in values.items()
            if hasattr(value, "tobytes")
        }
    import zipfile

    with zipfile.ZipFile(checkpoint) as archive:
        return {name: archive.read(name) for name in archive.namelist() if "/data/" in name}


def crash(trainings: Trainings, kills: int, seed: int = 0) -> Found:
    """Kill runs `kills` times; say how it went. Prints a line for each kill."""
    draw = random.Random(seed)
    start = time.monotonic()
    during, number, differences = 0, 0, []
    run = trainings.place / "run-0"
    for kill in range(kills):
        at_write = kill % 2 == 1
        while True:
            was_over = trainings.is_over(run)  # a kill among its last files is enough
            process = trainings.start(run)
            if was_over:
                process.wait(TIMEOUT)
            elif strike(trainings, process, run, at_write, draw):
                break
            differences += finished(trainings, process, run)
            if differences:  # the next runs would tell the same
                return tell(trainings, kill, during, start, differences)
            number += 1
            run = trainings.place / f"run-{number}"
        left = [path.name for path in run.glob(".*") if "partial" in path.name]
        during += bool(left)
        print(f"kill {kill + 1}: {run.name}, {epochs(run)} epochs over, half-written: {left}")
    process = trainings.start(run)
    process.wait(TIMEOUT)
    differences += finished(trainings, process, run)
    return tell(trainings, kills, during, start, differences)


def tell(
    trainings: Trainings, kills: int, during: int, start: float, differences: list[str]
) -> Found:
    """Print what differs; return what was found of so many kills since `start`."""
    for one in differences:
        print(f"different: {one}")
    seconds = round(time.monotonic() - start, 1)
    return Found(trainings.framework, kills, during, seconds, not differences)


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


def finished(trainings: Trainings, process: subprocess.Popen, run: Path) -> list[str]:
    """Return what is wrong with a run that came to its end; remove it where nothing is."""
    if process.returncode != 0:
        return [f"{run.name}: exit status {process.returncode}"]
    found = [f"{run.name}: {one}" for one in trainings.differences(run)]
    if not found:
        shutil.rmtree(run)
    return found


def epochs(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def add_row(file: Path, found: Found) -> None:
    """Write a row of the results in place of the framework's last one."""
    rows = []
    if file.exists():
        with open(file, newline="") as old:
            rows = [row for row in csv.reader(old) if row and row[0] in FRAMEWORKS]
    rows = [row for row in rows if row[0] != found.framework] + [list(found)]
    with replace_atomically(file) as partial, open(partial, "w", newline="") as new:
        csv.writer(new, lineterminator="\n").writerows([Found._fields, *sorted(rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", choices=FRAMEWORKS, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = crash(Trainings(args.framework, Path(place), EPOCHS), args.kills, args.seed)
    add_row(RESULTS, found)
    print(f"{found}")
    return not found.equal


if __name__ == "__main__":
    sys.exit(main())
