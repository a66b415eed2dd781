"""The trainings of the claims: each is done once, and resumes where it stopped."""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import Any

from common.paths import ROOT
from common.training.checkpoint_files import SUFFIX
from common.training.run_folder import read_metrics
from experiments.plan import GOAL, Run
from experiments.runner import Runner
from portproof.system.atomic import write_json
from portproof.system.errors import RunError, UserError, explained
from portproof.system.locks import LockedError, locked

# One thread for each training, and no spinning while it waits: they share the cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "KMP_BLOCKTIME": "0"}
PATIENCE = 10.0  # seconds in which what was just killed is gone
Outcome = dict[str, Any]  # of one training, as its file has it


class Workplace:
    """The folder of an experiment: `pictures`, `cache`, `runs`, `logs` and `results`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.images = self.folder / "pictures"
        self.runner = Runner()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, or raise UserError where another experiment has it.

        The trainings hold it too: what a killed experiment leaves running must end first.
        """
        try:
            with locked(self.folder / "experiment", PATIENCE) as lock:
                self.runner = Runner(lock)
                yield
        except LockedError as error:
            who = "another experiment is at work there, or a training that it left behind"
            advice = "wait for its end, or name another folder"
            raise UserError(f"--work {self.folder}: {who}; {advice}") from error

    def outcome(self, run: Run) -> Outcome | None:
        """Return what a training gave if it is finished. Raises UserError where it is another's."""
        file = self._file(run)
        if not file.exists():
            return None
        with explained(f"{file}: damaged", "delete it, and it is made again", ValueError):
            outcome = json.loads(file.read_text())
        command = outcome["command"]
        if command != shown_command(run) or not set(run.then) <= set(outcome):
            advice = "name another folder by --work"
            raise UserError(f"{file}: of another training ({command}); {advice}")
        return outcome

    def perform(self, run: Run) -> Outcome:
        """Train, measure, write what came out atomically; return it."""
        log = self.folder / "logs" / f"{run.name}.txt"
        for folder in (log.parent, self._file(run).parent):
            folder.mkdir(parents=True, exist_ok=True)
        command = train_command(run, self.folder, self.images)
        self.call([*command, "--resume", "auto"], log)
        folder = self.folder / "runs" / run.name
        rows = read_metrics(folder)
        outcome = {name: getattr(run, name) for name in ("arm", "framework", "seed", "epochs")}
        outcome |= {
            "val_error": 100 - rows[-1]["val_top1"],
            "epochs_to_goal": epochs_to(GOAL, [100 - row["train_top1"] for row in rows]),
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "command": shown_command(run),
        }
        outcome |= {measure: self.measure(run, measure, log) for measure in run.then}
        if "train_error" in outcome:
            outcome["overfitting"] = outcome["val_error"] - outcome["train_error"]
        described = json.loads((folder / "args.json").read_text())
        outcome |= {name: described[name] for name in ("versions", "machine")}
        shown = ("epoch", "train_top1", "val_top1")
        outcome["rows"] = [{name: round(row[name], 4) for name in shown} for row in rows]
        write_json(self._file(run), outcome)
        for file in folder.glob("*" + SUFFIX[run.framework]):
            file.unlink()  # the weights are not needed again
        return outcome

    def _file(self, run: Run) -> Path:
        return self.folder / "results" / f"{run.name}.json"

    def measure(self, run: Run, what: str, log: Path) -> float:
        """Return the top-1 error of the last epoch's weights, in per cent.

        "train_error": on the training images, in evaluation mode; "ten_crop_error": on those of
        val, ten crops of each.
        """
        images = self.images / "train-as-val" if what == "train_error" else self.images
        last = self.folder / "runs" / run.name / f"last{SUFFIX[run.framework]}"
        command = [Path(f"AlexNet-{run.framework}") / "train.py", "--eval-only", "--weights", last]
        command += ["--data-path", images, "--recipe", "paper", "--device", "cpu", "--workers", 0]
        command += ["--image-size", run.options["--image-size"], "--model", run.options["--model"]]
        command += ["--eval-crops", 10 if what == "ten_crop_error" else 1]
        self.call(command, log)
        accuracies = re.findall(r"val_top1 (\S+)", log.read_text(errors="replace"))
        return 100 - float(accuracies[-1])

    def call(self, command: Sequence[object], log: Path) -> None:
        """Run a command of a tree, its output appended to `log`. Raises RunError where it fails."""
        words = [sys.executable, *command]
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)}
        with open(log, "a") as file:
            status = self.runner.run(
                words, cwd=ROOT, env=environment, stdin=DEVNULL, stdout=file, stderr=STDOUT
            )
        if status:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise RunError(f"{log}: exit status {status}: {lines[-1]}")


def train_command(run: Run, work: Path, images: Path | str) -> list[object]:
    """Return the command of a training whose folder is in `work`."""
    command = [Path(f"AlexNet-{run.framework}") / "train.py", "--data-path", images]
    command += chain.from_iterable(run.options.items())
    command += ["--epochs", run.epochs, "--seed", run.seed, "--device", "cpu", "--workers", 1]
    return [*command, "--cache", work / "cache", "--output-dir", work / "runs" / run.name]


def shown_command(run: Run) -> str:
    """Return the training's command as it is written down, without the paths of a machine."""
    return " ".join(map(str, ["python", *train_command(run, Path("WORK"), "WORK/pictures")]))


def epochs_to(goal: float, errors: Sequence[float]) -> float | None:
    """Return after how many epochs an error fell to `goal` for the first time; None: it did not.

    `errors` are means over whole epochs, taken as those of their middles, and between two of them
    the error is a straight line.
    """
    if errors[0] <= goal:
        return 0.5
    for number, (before, error) in enumerate(pairwise(errors), start=1):
        if error <= goal:
            return number - 0.5 + (before - goal) / (before - error)
    return None


def last_seen(epochs: int) -> float:
    """Return after how many epochs `epochs_to` has the last error of a training: in a middle."""
    return epochs - 0.5
