"""Folders that are made once, atomically, by one process at a time, and then only read."""

import fcntl
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from portproof.system.errors import UserError


@contextmanager
def locked(path: Path, patience: float = math.inf) -> Iterator[IO[str]]:
    """Hold the lock of `path`, a hidden file beside it, which is given; a second process waits.

    A process that inherits the file holds the lock too. Raises OSError, and of these TimeoutError
    where another process has held it for the seconds of `patience`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f".{path.name}.lock", "w") as lock:
        end = time.monotonic() + patience
        how = fcntl.LOCK_EX if patience == math.inf else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            try:
                fcntl.flock(lock, how)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"{path}: another process holds its lock") from None
                time.sleep(0.1)
        yield lock


def is_complete(folder: Path, what: str, description: dict) -> bool:
    """Say whether `folder` was made whole by `make` with the same `what` and `description`."""
    try:
        return json.loads((folder / f"{what}.json").read_text()) == description
    except (OSError, ValueError):
        return False


def make(folder: Path, what: str, description: dict, fill: Callable[[Path], None]) -> None:
    """Have `fill` write the contents of `folder`; nothing is done where it is complete.

    `fill` is given an empty folder beside it, which takes its name at the end. `<what>.json` in it
    holds the description; of another one it is replaced. Raises UserError where something else is
    there, OSError, and what `fill` raises.
    """
    with locked(folder):
        if is_complete(folder, what, description):
            return
        if folder.exists() and not (folder / f"{what}.json").exists():
            raise UserError(f"{folder} exists and is no {what}; move it away or delete it")
        partial = folder.parent / f".{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)  # what an interrupted call left
        try:
            partial.mkdir()
            fill(partial)
            (partial / f"{what}.json").write_text(json.dumps(description) + "\n")
            shutil.rmtree(folder, ignore_errors=True)  # one of another description
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
