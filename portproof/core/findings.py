"""What was found: a difference, and its cause with the line of code that it is about."""

import linecache
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Report = dict[str, Any]  # ready for JSON: what a worker recorded, what a command has found
MOST = 6  # causes that are told one by one


@dataclass(frozen=True)
class Difference:
    """How far the two sides are apart; of two trainings also where: step, kind and tensor.

    `relative` is to torch's largest number or scale. What cannot be measured is infinite.
    """

    largest: float = float("inf")
    rms: float = float("inf")
    relative: float = float("inf")
    problem: str | None = None  # in words; of two arrays: why they cannot be subtracted
    step: int = 0
    what: str = ""  # of a step: data, mode, weights, forward, loss, gradient, lr, update, ...
    name: str = ""  # a parameter, or empty
    others: tuple[str, ...] = ()  # all parameters in which this differs, `name` among them


@dataclass(frozen=True)
class Cause:
    """A difference explained: `where` (a layer or a key), what is wrong there, what to change."""

    where: str
    cause: str
    fix: str
    line: str | None = None  # FILE:LINE
    also: list[str] = field(default_factory=list)  # other layers with the same fault
    patterns: tuple[str, ...] = ()  # of the line to change, where it is not known yet
    event: str = ""  # one or more of a recorded training: the line is looked for near them first


def at(line: str | None, fix: str, word: str = "in") -> str:
    """Return the fix with the line it is for, and the code there."""
    if line is None:
        return fix
    code = code_of(line)
    return f"{shorten(line)}: {fix}" + (f" {word} `{code}`" if code else "")


def code_of(line: str) -> str:
    """Return the code of FILE:LINE; empty where it cannot be read."""
    file, _, number = line.rpartition(":")
    linecache.checkcache(file)  # another copy may lie there now
    return linecache.getline(file, int(number)).strip()


def shorten(line: str) -> str:
    """Return FILE:LINE with the file's path from the current folder, or from its package."""
    path = Path(line)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    if "site-packages" in path.parts:
        return str(Path(*path.parts[path.parts.index("site-packages") + 1 :]))
    return line
