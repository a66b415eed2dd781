"""The folder of one run: arguments, metrics, curves, checkpoints."""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import processor
from common.errors import FULL, UserError
from common.paths import RUNS_DIR

METRICS_FILE = "metrics.jsonl"
PACKAGES = ("torch", "torchvision", "paddlepaddle", "paddlepaddle-gpu", "numpy", "pillow")


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

        `gpu` is the name of what computes, None where the processor does. Of several processes one
        alone `writes`.

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
            if args.resume and args.resume.parent.resolve() == self.path.resolve():
                self._keep_epochs(resumed_epochs)
            elif args.resume_auto and self._is_own():  # it ended before its first checkpoint
                self._keep_epochs(0)
            elif self.metrics_file.exists() or (self.path / "args.json").exists():
                raise UserError(
                    f"--output-dir {self.path} holds another run; name a new folder, or go on with "
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

    def _keep_epochs(self, count: int) -> None:
        """Drop the lines of epochs that came after the checkpoint: they will be run again."""
        rows = [row for row in self.read_metrics() if row.get("epoch", count + 1) <= count]
        with replace_whole(self.metrics_file) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def arguments(self) -> str:
        """Return the arguments of the run as JSON."""
        return json.dumps(describe_run(self.args)["arguments"])

    def record_bad_pictures(self, *datasets: object) -> None:
        """Write the pictures that were left out of the datasets as `bad_pictures.jsonl`, if any."""
        if not self.writes:
            return
        indices = [getattr(dataset, "index", None) for dataset in datasets]
        bad = [picture for index in indices for picture in getattr(index, "bad", ())]
        file = self.path / "bad_pictures.jsonl"
        if bad or file.exists():  # a run that goes on may find other ones
            with replace_whole(file) as partial:
                write_text(partial, "".join(json_text(one._asdict(), None) for one in bad))

    def log(self, row: dict) -> None:
        """Append the metrics of one epoch as one line of JSON."""
        if not self.writes:
            return
        with open(self.metrics_file, "a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read_metrics(self) -> list[dict]:
        """Return the metrics of all epochs so far. Raises UserError on a damaged line."""
        return read_metrics(self.path)


def read_metrics(folder: Path) -> list[dict]:
    """Return the metrics of all epochs of the run in `folder`; none where it has none so far.

    Raises UserError on a damaged line.
    """
    file = folder / METRICS_FILE
    if not file.exists():
        return []
    return parse_metrics(file.read_text(encoding="utf-8", errors="replace"), file)


def parse_metrics(text: str, file: Path) -> list[dict]:
    """Return the lines of a metrics.jsonl, `text` of `file`. Raises UserError on a damaged one."""
    rows = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            whole = isinstance(row["epoch"], int)
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole and number == len(lines):
            break  # a run that was killed may have left half a line
        if not whole:
            raise UserError(f"{file}, line {number}: not the metrics of an epoch; delete it")
        rows.append(row)
    return rows


def _default_path(args: argparse.Namespace) -> Path:
    if args.resume:
        return args.resume.parent
    stem = f"{args.framework}-{args.recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    path = RUNS_DIR / stem
    number = 2
    while path.exists():  # two runs within one second
        path = RUNS_DIR / f"{stem}-{number}"
        number += 1
    return path


def describe_run(args: argparse.Namespace, gpu: str | None = None) -> dict:
    """Return the arguments, the versions and the machine of a run, ready for JSON."""
    _, model, _ = processor.describe()
    return {
        "arguments": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(args).items()
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


def package_versions() -> dict[str, str]:
    """Return the versions of what is installed of the packages that decide a result."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def write_json(path: Path, value: dict) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replace_whole(path) as partial:
        write_text(partial, json_text(value))


def json_text(value: dict, indent: int | None = 2) -> str:
    """Return `value` as JSON that ends its line; names that are no UTF-8 have surrogates in it."""
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whatever the locale; what is none, in a file name, becomes JSON's escape."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_result(path: Path, value: dict) -> None:
    """Write what a tool was asked for by --json FILE. Raises UserError where it cannot be."""
    try:
        write_json(path, value)
    except OSError as error:
        raise UserError(f"--json {path}: cannot be written ({error.strerror})") from error


def write_report(folder: Path, name: str, page: str) -> Path:
    """Write the page that a tool was asked for by --report DIR; return its path.

    Raises UserError where it cannot be.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replace_whole(path) as partial:
            write_text(partial, page)
    except OSError as error:
        raise UserError(f"--report {folder}: cannot be written ({error.strerror})") from error
    return path


@contextmanager
def replace_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the place of `path` only if nothing is raised.

    The bytes are on the disk before the name is: after a crash `path` is the old file or the new
    one, never half of one.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, whole or not at all, with no second copy if it can.

    `source` may be replaced afterwards (never rewritten in place): `target` keeps the old contents.
    """
    with replace_whole(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, partial)
