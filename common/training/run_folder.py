"""The folder of one run: arguments, metrics, curves, checkpoints."""

import argparse
import itertools
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from common.paths import RUNS_DIR
from portproof.runs.metrics import METRICS_FILE, parse_metrics
from portproof.system import processor
from portproof.system.atomic import json_text, replace_atomically, write_json, write_text
from portproof.system.errors import FULL, UserError
from portproof.system.versions import package_versions


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
        if not writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            resumes = args.resume and args.resume.parent.resolve() == self.path.resolve()
            if resumes or (args.resume_auto and self._is_own()):
                rows = read_metrics(self.path)  # epochs after the checkpoint will be run again
                kept = [json.dumps(row) + "\n" for row in rows if row["epoch"] <= resumed_epochs]
                with replace_atomically(self.metrics_file) as partial:
                    partial.write_text("".join(kept))
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
            with replace_atomically(file) as partial:
                write_text(partial, "".join(json_text(image._asdict(), None) for image in bad))

    def log(self, row: dict) -> None:
        """Append the metrics of one epoch as one line of JSON."""
        if not self.writes:
            return
        with open(self.metrics_file, "a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


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
