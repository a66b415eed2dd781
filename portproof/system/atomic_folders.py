"""Folders that are made once, atomically, by one process at a time, and then only read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from portproof.system.errors import UserError
from portproof.system.locks import locked


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
