"""Trainings as processes, several at a time: each is done once, and resumes where it stopped."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from common.paths import ROOT
from common.training.checkpoint_files import SUFFIX
from common.training.run_folder import read_metrics
from experiments.plan import GOAL, Run
from portproof.system.atomic import write_json
from portproof.system.errors import RunError, UserError

# One thread for each training, and no spinning while it waits: they share the cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "KMP_BLOCKTIME": "0"}
PATIENCE = 10.0  # seconds in which what was just killed is gone
Result = dict[str, Any]  # of one training, as its file has it


class Workplace:
    """The folder of an experiment: `images`, `cache`, `runs`, `logs` and `results`."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder = folder.resolve()
        self.images = images.resolve()
        self.lock: int | None = None  # an open file, of which trainings hold the lock too
        self.processes: list[subprocess.Popen] = []
        self.ended = False
        self.guard = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against another experiment, and end what runs when leaving.

        The trainings hold it too: what a killed experiment leaves running must end first. Raises
        UserError where another one has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as lock:
            end = time.monotonic() + PATIENCE
            while not is_free(lock):
                if time.monotonic() > end:
                    raise UserError(
                        f"--work {self.folder}: another experiment is at work there, or a "
                        "training that it left behind; wait for its end, or name another folder"
                    )
                time.sleep(0.1)
            self.lock = lock.fileno()
            try:
                yield
            finally:
                self.end()

    def end(self) -> None:
        """Ask what runs to save and end, and wait for it; nothing is begun afterwards."""
        with self.guard:
            self.ended = True
            running = [process for process in self.processes if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()

    def call(self, command: Sequence[object], log: Path) -> None:
        """Run a command of a tree to its end, its output appended to `log`.

        Raises RunError where it fails, Ended where the experiment is about to end.
        """
        words = [sys.executable, *map(str, command)]
        with open(log, "a") as out:
            with self.guard:
                if self.ended:
                    raise Ended
                process = subprocess.Popen(
                    words,
                    cwd=ROOT,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env=os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)},
                    pass_fds=[self.lock] if self.lock is not None else [],
                )
                self.processes.append(process)
            status = process.wait()
        if self.ended:
            raise Ended
        if status:
            last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise RunError(f"{log}: exit status {status}: {last[-1] if last else 'no output'}")

    def result(self, run: Run) -> Result | None:
        """Return what a finished training gave; None where it is not finished.

        Raises UserError where it was made in another way than `run` says.
        """
        file = self.folder / "results" / f"{run.name}.json"
        try:
            found = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UserError(f"{file}: damaged; delete it, and it is made again") from error
        if found["command"] != self.told(run) or not set(run.then) <= set(found):
            raise UserError(
                f"{file}: of another training ({found['command']}); name another folder by --work"
            )
        return found

    def told(self, run: Run) -> str:
        """Return the training's command as it is written down, without the places of a machine."""
        return " ".join(map(str, ["python", *train_command(run, Path("WORK"), "WORK/pictures")]))

    def perform(self, run: Run) -> Result:
        """Train, measure, write the result whole; return it."""
        log = self.folder / "logs" / f"{run.name}.txt"
        for place in (log.parent, self.folder / "results"):
            place.mkdir(parents=True, exist_ok=True)
        command = train_command(run, self.folder, self.images)
        self.call([*command, "--resume", "auto"], log)
        folder = self.folder / "runs" / run.name
        rows = read_metrics(folder)
        result = {
            "arm": run.arm,
            "framework": run.framework,
            "seed": run.seed,
            "epochs": run.epochs,
            "val_error": 100 - rows[-1]["val_top1"],
            "epochs_to_goal": epochs_to(GOAL, [100 - row["train_top1"] for row in rows]),
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "command": self.told(run),
        }
        for measure in run.then:
            result[measure] = self.measure(run, measure, log)
        if "train_error" in result:
            result["overfitting"] = result["val_error"] - result["train_error"]
        described = json.loads((folder / "args.json").read_text())
        result |= {name: described[name] for name in ("versions", "machine")}
        result["rows"] = [
            {name: round(row[name], 4) for name in ("epoch", "train_top1", "val_top1")}
            for row in rows
        ]
        write_json(self.folder / "results" / f"{run.name}.json", result)
        for file in folder.glob("*" + SUFFIX[run.framework]):
            file.unlink()  # the weights are not needed again
        return result

    def measure(self, run: Run, what: str, log: Path) -> float:
        """Return the top-1 error of the last epoch's weights, in per cent.

        "train_error": on the training images, in evaluation mode; "ten_crop_error": on those of
        val, ten crops of each.
        """
        where = self.images / "train-as-val" if what == "train_error" else self.images
        last = self.folder / "runs" / run.name / f"last{SUFFIX[run.framework]}"
        command = [Path(f"AlexNet-{run.framework}") / "train.py", "--eval-only", "--weights", last]
        command += ["--data-path", where, "--recipe", "paper", "--device", "cpu", "--workers", 0]
        command += ["--image-size", run.options["--image-size"], "--model", run.options["--model"]]
        command += ["--eval-crops", 10 if what == "ten_crop_error" else 1]
        self.call(command, log)
        found = re.findall(r"val_top1 (\S+)", log.read_text(errors="replace"))
        return 100 - float(found[-1])


def train_command(run: Run, work: Path, images: Path | str) -> list[object]:
    """Return the command of a training whose folder is in `work`."""
    options = {
        "--data-path": images,
        **run.options,
        "--epochs": run.epochs,
        "--seed": run.seed,
        "--device": "cpu",
        "--workers": 1,
        "--cache": work / "cache",
        "--output-dir": work / "runs" / run.name,
    }
    script = Path(f"AlexNet-{run.framework}") / "train.py"
    return [script, *(word for option in options.items() for word in option)]


class Ended(Exception):
    """The experiment is about to end: nothing is begun any more."""


def is_free(lock: IO[str]) -> bool:
    """Take the lock of an open file, and say whether it was to be had."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def epochs_to(goal: float, errors: Sequence[float]) -> float | None:
    """Return after how many epochs an error fell to `goal` for the first time; None: it did not.

    `errors` are means over whole epochs, taken as those of their middles, and between two of them
    the error is a straight line.
    """
    for number, error in enumerate(errors):
        if error <= goal:
            if number == 0:
                return 0.5
            before = errors[number - 1]
            return number - 0.5 + (before - goal) / (before - error)
    return None


def last_seen(epochs: int) -> float:
    """Return after how many epochs `epochs_to` has the last error of a training: in a middle."""
    return epochs - 0.5


def perform_all(
    place: Workplace,
    runs: Sequence[Run],
    jobs: int,
    seconds: Callable[[Run], float],
    deadline: float,
    done: Callable[[Run, Result], None],
) -> list[Run]:
    """Perform the runs, `jobs` at a time; return those that were left out.

    A run is begun only where the estimate of its `seconds` ends before the `deadline`
    (time.monotonic). Raises what the first failing run raised, once the others have saved.
    """
    left, out = list(runs), []
    going: dict[Future, Run] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while left or going:
                while left and len(going) < jobs:
                    run = left.pop(0)
                    if time.monotonic() + seconds(run) > deadline:
                        out.append(run)
                    else:
                        going[pool.submit(place.perform, run)] = run
                finished, _ = wait(going, return_when=FIRST_COMPLETED)
                for future in finished:
                    done(going.pop(future), future.result())
        except BaseException:
            place.end()
            raise
    return out
