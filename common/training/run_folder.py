"""The folder of one run: arguments, metrics, curves, checkpoints."""

import argparse
import itertools
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from common.paths import RUNS_DIR
from portproof.runs.metrics import METRICS_FILE, parse_metrics
from portproof.system import locks, processor
from portproof.system.atomic import json_text, replace_atomically, write_json, write_text
from portproof.system.errors import FULL, UserError
from portproof.system.versions import package_versions

LOCK = ".lock"  # in a run folder: one training at a time writes there
# What is undone as a training ends, however it ends; the main() of each tree runs within it.
ending = ExitStack()
held: set[Path] = set()  # the run folders of this process


def hold(folder: Path) -> None:
    """Keep other trainings out of a run folder until this one ends. Raises LockedError, OSError."""
    file = folder.resolve() / LOCK
    if file not in held:
        lock = locks.take(file)
        held.add(file)
        ending.callback(held.discard, file)
        ending.callback(locks.release, file, lock)


class RunFolder:
    """`args.json`, `metrics.jsonl` and whatever else a run leaves, in `path`."""

    def __init__(
        self,
        args: argparse.Namespace,
        resumed_epochs: int = 0,
        gpu: str | None = None,
        writes: bool = True,
    ) -> None:
        """Make the folder, or take up that of the checkpoint `args.resume` after `resumed_epochs`.

        `gpu`: its name, None where the processor computes. Of several processes one `writes`.
        Raises UserError where the folder holds another run or cannot be made.
        """
        self.args = args
        self.writes = writes
        self.path = args.output_dir or _default_path(args)
        self.metrics_file = self.path / METRICS_FILE
        self.has_begun = False  # a step is over
        if not writes:
            return
        try:
            new = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            ending.push(partial(self._undo, new, set(self.path.iterdir())))
            hold(self.path)
            resumes = args.resume and args.resume.parent.resolve() == self.path.resolve()
            if resumes or (args.resume_auto and self._is_own()):
                rows = read_metrics(self.path)  # epochs after the checkpoint will be run again
                kept = [row for row in rows if row.get("epoch", math.inf) <= resumed_epochs]
                with replace_atomically(self.metrics_file) as file:
                    file.write_text("".join(json.dumps(row) + "\n" for row in kept))
            elif self.metrics_file.exists() or (self.path / "args.json").exists():
                raise UserError(
                    f"--output-dir {self.path} holds another run; name a new folder, or resume "
                    "that run by --resume"
                )
            write_json(self.path / "args.json", describe_run(args, gpu))
        except OSError as error:
            full = error.errno in FULL
            what = "free some space" if full else "name a folder that you may write to"
            raise UserError(
                f"--output-dir {self.path}: cannot be written ({error.strerror}); {what}"
            ) from error

    def _undo(self, new: list[Path], before: set[Path], error: type | None, *_: Any) -> None:
        """Leave nothing of a start that fails; `before`: what the folder had before it."""
        if error is None or self.has_begun or not self.path.is_dir():
            return
        for path in set(self.path.iterdir()) - before:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in new:
            folder.rmdir()

    def _is_own(self) -> bool:
        """Say whether the folder, if it holds a run, holds one of this framework."""
        try:
            stored = json.loads((self.path / "args.json").read_text(encoding="utf-8"))
            return stored["arguments"]["framework"] == self.args.framework
        except FileNotFoundError:
            return not self.metrics_file.exists()
        except (ValueError, KeyError, TypeError):
            return False

    def arguments(self) -> str:
        """Return the arguments of the run as JSON."""
        return json.dumps(describe_run(self.args)["arguments"])

    def record_bad_images(self, *datasets: Any) -> None:
        """Write the images that were left out of the datasets as `bad_pictures.jsonl`, if any."""
        if not self.writes:
            return
        bad = [image for dataset in datasets for image in dataset.index.bad]
        file = self.path / "bad_pictures.jsonl"
        if bad or file.exists():  # a resumed run may find other ones
            with replace_atomically(file) as temporary:
                write_text(temporary, "".join(json_text(image._asdict(), None) for image in bad))

    def check_is_there(self) -> None:
        """Raise UserError where somebody has deleted the folder meanwhile."""
        if self.writes and not self.path.is_dir():
            raise UserError(f"{self.path}: the run folder is gone, and the run with it; start anew")

    @contextmanager
    def logged(self, row: dict) -> Iterator[None]:
        """Append the metrics of one epoch as a line of JSON; not if its checkpoint, within, fails.

        The line comes first: a run that resumes drops those of epochs that it lacks.
        """
        if not self.writes:
            yield
            return
        self.check_is_there()
        before = self.metrics_file.stat().st_size if self.metrics_file.exists() else 0
        with open(self.metrics_file, "a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            yield
        except (UserError, OSError):
            self.check_is_there()
            os.truncate(self.metrics_file, before)
            raise


def read_metrics(folder: Path) -> list[dict]:
    """Return the metrics of all epochs so far of a run. Raises UserError on a damaged line."""
    file = folder / METRICS_FILE
    if not file.exists():
        return []
    return parse_metrics(file.read_text(encoding="utf-8", errors="replace"), file)


def _default_path(args: argparse.Namespace) -> Path:
    if args.resume:
        return args.resume.parent
    stem = f"{args.framework}-{args.recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    others = (f"{stem}-{number}" for number in itertools.count(2))  # of the same second
    paths = (RUNS_DIR / name for name in itertools.chain([stem], others))
    return next(path for path in paths if not path.exists())


def describe_run(args: argparse.Namespace, gpu: str | None = None) -> dict:
    """Return the arguments, the versions and the machine of a run, ready for JSON."""
    _, model, _ = processor.describe()
    return {
        "arguments": {
            name: str(argument) if isinstance(argument, Path) else argument
            for name, argument in vars(args).items()
        },
        "command": sys.argv,
        "versions": {"python": platform.python_version(), **package_versions()},
        "machine": {
            "system": platform.platform(),
            "processor": model,
            "cores": processor.available_cores(),
            "gpu": gpu,
        },
    }
