"""Files that are written atomically, and the message of one that cannot be written."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from portproof.system.errors import explained


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the place of `path` only if nothing is raised."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, atomically, by a link where there are links.

    `source` may then be replaced, but not rewritten in place: `target` keeps the old contents.
    """
    with replace_atomically(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, partial)


def write_json(path: Path, contents: dict) -> None:
    """Write `contents` as indented JSON, atomically."""
    with replace_atomically(path) as partial:
        write_text(partial, json_text(contents))


def json_text(contents: dict, indent: int | None = 2) -> str:
    """Return `contents` as JSON that ends its line; names that are no UTF-8 keep surrogates."""
    return json.dumps(contents, indent=indent, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whatever the locale; what is none, in a file name, becomes JSON's escape."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_result(path: Path, contents: dict) -> None:
    """Write what a tool was asked for by --json FILE. Raises UserError where it cannot be."""
    with explained(f"--json {path}: cannot be written", "name another file", OSError):
        write_json(path, contents)


def writing(path: Path) -> AbstractContextManager[None]:
    """Turn what a writer raises, such as on a full disk, into a UserError."""
    return explained(f"{path}: cannot be written", "free some space, or name another folder")
