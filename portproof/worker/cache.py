"""What a worker did before, kept by the content of all that it depends on.

A key is the SHA-256 of the code that runs (the port file, the worker, and what these import), of
the request with contents in place of files' paths, and of the versions.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

from portproof.system import checksums
from portproof.system.versions import package_versions
from portproof.worker.client import Side
from portproof.worker.source import installed

MOST = 400  # records
LARGEST = 64 << 20  # bytes; a record that is larger is not kept
FEW = 2000  # files of a folder that are read; of more, names, sizes and times stand for them
PACKAGE = Path(__file__).resolve().parents[1]
WORKER = PACKAGE / "worker" / "requests.py"


def user_cache() -> Path:
    """Return this library's folder in the user's cache: what can be made again lies there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "portproof"


class Records:
    """The records in a folder; none named: in the user's cache."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_cache() / "records"

    def key(self, side: Side, part: str, request: dict[str, Any]) -> str:
        """Return the key of a part of a request to a side."""
        backend = PACKAGE / "backends" / f"{side.framework}.py"
        content = {
            "code": code_digest(side.port.resolve(), WORKER, backend),
            "command": side.python,
            "versions": package_versions(),
            "part": part,
            "settings": with_contents(side.settings),
            "request": with_contents(request),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> Path | None:
        """Return the folder of a record, or None."""
        folder = self.folder / key
        try:
            os.utime(folder)  # the oldest are dropped
        except FileNotFoundError:
            return None
        return folder if (folder / "complete").exists() else None

    def keep(self, key: str, folder: Path) -> None:
        """Copy what a worker wrote into the records, atomically."""
        files = [f for f in folder.iterdir() if f.is_file() and f.name != "request.json"]
        if sum(path.stat().st_size for path in files) > LARGEST:
            return
        partial = self.folder / f".{key}.{os.getpid()}"
        partial.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, partial / path.name)
        (partial / "complete").touch()
        try:
            os.rename(partial, self.folder / key)
        except OSError:  # it is there already
            shutil.rmtree(partial)
        with contextlib.suppress(FileNotFoundError):  # another process drops records too
            whole = [entry for entry in os.scandir(self.folder) if not entry.name.startswith(".")]
            whole.sort(key=lambda entry: (entry.stat().st_mtime, entry.path))
            for oldest in whole[:-MOST]:
                shutil.rmtree(oldest, ignore_errors=True)


def code_digest(port: Path, *entries: Path) -> str:
    """Return the SHA-256 of a port file, of `entries`, and of all that these import.

    Files beside the port count by their names from there, so that a copy elsewhere is the same.
    """
    sha = hashlib.sha256()
    for file in sorted(imported_files([port, *entries], port.parent)):
        is_beside = file.is_relative_to(port.parent)
        sha.update(str(file.relative_to(port.parent) if is_beside else file).encode())
        sha.update(file_digest(file, stamp(file)).encode())
    return sha.hexdigest()


def imported_files(entries: list[Path], folder: Path) -> set[Path]:
    """Return the files that these import, directly or not, and they themselves."""
    files, waiting = set(), set(entries)
    while waiting:
        file = waiting.pop()
        if file.is_file():
            files.add(file)
            modules = {find_module(name, folder) for name in imported_names(file, stamp(file))}
            waiting |= modules - files - {None}
    return files


@functools.lru_cache(maxsize=10_000)
def imported_names(file: Path, stamp: tuple[int, int]) -> set[str]:
    """Return the modules that a file may import, with those that may be names in them."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def find_module(name: str, folder: Path) -> Path | None:
    """Return the file of a module; None where it is installed, built in or not there."""
    parts = name.split(".")
    for root in filter(None, (folder, top_folder(parts[0]))):
        path = root.joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


@functools.lru_cache(maxsize=1000)
def top_folder(name: str) -> Path | None:
    """Return the folder in which a package or a module lies that is not installed."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    origin = Path(spec.origin).resolve() if spec and spec.has_location else None
    if origin is None or installed(str(origin)):
        return None
    return origin.parents[1] if spec.submodule_search_locations else origin.parent


def with_contents(value: Any) -> Any:
    """Exchange the names of files and folders for digests of what is in them."""
    if isinstance(value, dict):
        return {name: with_contents(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_contents(entry) for entry in value]
    if isinstance(value, str) and os.sep in value and Path(value).exists():
        path = Path(value)
        return folder_digest(path) if path.is_dir() else file_digest(path, stamp(path))
    return value


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of a folder's files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sha = hashlib.sha256()
    for path in files:
        content = file_digest(path, stamp(path)) if len(files) <= FEW else stamp(path)
        sha.update(f"{path.relative_to(folder)} {content}".encode())
    return sha.hexdigest()


def stamp(path: Path) -> tuple[int, int]:
    """Return the size and the time of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=10_000)
def file_digest(path: Path, stamp: tuple[int, int]) -> str:
    """Return the SHA-256 of a file; its stamp tells whether it has changed since."""
    return checksums.of_file(path)
