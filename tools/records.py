"""What a side did before, kept by the content of all that it depends on: it need not run again.

A key is the SHA-256 of the tree's files, of common/, of the request with every file's content in
place of its path, and of the versions. Records lie in .cache/records; the oldest are dropped.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from common.paths import ROOT
from common.run_folder import package_versions
from tools.probes import Side

FOLDER = ROOT / ".cache" / "records"
MOST = 400  # records
LARGEST = 64 << 20  # bytes; a record that is larger is not kept
FEW = 2000  # files of a folder that are read; of more, names, sizes and times stand for them


def key(side: Side, part: str, settings: dict[str, Any]) -> str:
    """Return the key of a request."""
    told = {
        "tree": digest(side.tree, "*.py"),
        "common": digest(ROOT / "common", "*.py"),
        "command": side.python,
        "versions": package_versions(),
        "part": part,
        "settings": _with_contents(settings),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _with_contents(value: Any) -> Any:
    """Exchange the names of files and folders for digests of what is in them."""
    if isinstance(value, dict):
        return {name: _with_contents(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_contents(item) for item in value]
    if isinstance(value, str) and os.sep in value and Path(value).exists():
        path = Path(value)
        return digest(path, "*") if path.is_dir() else _file(str(path), *_stamp(path))
    return value


def digest(folder: Path, pattern: str) -> str:
    """Return the SHA-256 of the names and contents of a folder's files."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    found = hashlib.sha256()
    for path in files:
        found.update(str(path.relative_to(folder)).encode())
        stamp = _stamp(path)
        found.update((_file(str(path), *stamp) if len(files) <= FEW else str(stamp)).encode())
    return found.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=10_000)
def _file(path: str, size: int, time: int) -> str:
    """Return the SHA-256 of a file; size and time tell whether it has changed since."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def find(name: str) -> Path | None:
    """Return the folder of a record, or None."""
    folder = FOLDER / name
    if not (folder / "complete").exists():
        return None
    try:
        os.utime(folder)  # the oldest are dropped
    except FileNotFoundError:  # another process has just done so
        return None
    return folder


def keep(name: str, folder: Path) -> None:
    """Copy what a probe wrote into the records, whole or not at all."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name != "request.json"]
    if sum(path.stat().st_size for path in files) > LARGEST:
        return
    partial = FOLDER / f".{name}.{os.getpid()}"
    partial.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copyfile(path, partial / path.name)
    (partial / "complete").touch()
    try:
        os.rename(partial, FOLDER / name)
    except OSError:  # it is there already
        shutil.rmtree(partial)
    for old in _newest_first()[MOST:]:
        shutil.rmtree(old, ignore_errors=True)


def _newest_first() -> list[Path]:
    """Return the records by age; other processes may drop some at the same time."""
    ages = []
    for entry in os.scandir(FOLDER):
        with contextlib.suppress(FileNotFoundError):
            if not entry.name.startswith("."):  # half of one
                ages.append((entry.stat().st_mtime, Path(entry.path)))
    return [path for _, path in sorted(ages, reverse=True)]
