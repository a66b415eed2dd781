"""Find in the code beside a port the line that a fault is about."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from portproof.core.findings import at
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Side, to_mend

Stack = Sequence[list]  # of [FILE, LINE]: a place in each function, the nearest first


class Source(NamedTuple):
    """The code of a file: its lines without what a program does not do, and its functions."""

    lines: list[str]
    functions: list[range]  # of line numbers, from 0
    iterators: list[tuple[str, range]]  # classes that are iterated over, and their __iter__


def near(reports: dict[str, dict[str, Any]], event: str) -> dict[str, Stack]:
    """Return, by side, which lines of the user's code led to an event of a recorded training."""
    return {side: reports[side].get("stacks", {}).get(event, []) for side in FRAMEWORKS}


def fix(
    sides: dict[str, Side], what: str, *patterns: str, near: dict[str, Stack] | None = None
) -> str:
    """Return what to change, with FILE:LINE and the code there, in the side that is to be mended.

    `patterns` and `near` (by side) are those of find_line.
    """
    name = to_mend(sides)
    return at(find_line(sides[name], patterns, (near or {}).get(name, ())), what)


def find_line(side: Side, patterns: Sequence[str], near: Stack = ()) -> str | None:
    """Return FILE:LINE of the first line of a side's own code that a pattern matches.

    Searched first are the lines of `near` and the functions in which they lie, then their files,
    then all; and the port file where nothing else has it, since it should do no more than adapt.
    """
    folder, port = side.folder.resolve(), side.port.resolve()
    named = {folder / name for name in side.own_files}
    stack = [(Path(file).resolve(), line - 1) for file, line in near]
    files = dict.fromkeys([file for file, _ in stack] + sorted(folder.rglob("*.py")))
    own = [file for file in files if folder in file.parents and (not named or file in named)]
    for searched in ([file for file in own if file != port], [port]):
        sources = {file: read(file, file.stat().st_mtime_ns) for file in searched}
        if found := search(sources, patterns, stack):
            return found
    return None


def search(
    sources: dict[Path, Source], patterns: Sequence[str], stack: list[tuple[Path, int]]
) -> str | None:
    """Return FILE:LINE of the first match; `stack` holds lines, from 0, to begin with."""
    stack = [place for place in stack if place[0] in sources]
    around = dict.fromkeys(
        (file, n) for file, line in stack for n in function_around(sources[file], line)
    )
    for pattern in patterns:
        if found := first_match(sources, pattern, stack) or first_match(sources, pattern, around):
            return found
    everywhere = [(file, n) for file, source in sources.items() for n in range(len(source.lines))]
    matches = (first_match(sources, pattern, everywhere) for pattern in patterns)
    return next(filter(None, matches), None)


def first_match(
    sources: dict[Path, Source], pattern: str, places: Iterable[tuple[Path, int]]
) -> str | None:
    """Return FILE:LINE of the first of these places, lines from 0, that a pattern matches."""
    for file, number in places:
        if re.search(pattern, sources[file].lines[number]):
            return f"{file}:{number + 1}"
    return None


def function_around(source: Source, line: int) -> range:
    """Return the lines of the innermost function that holds a line; none outside of functions."""
    return min((lines for lines in source.functions if line in lines), key=len, default=range(0))


@lru_cache(maxsize=200)
def read(file: Path, time: int) -> Source:
    """Return the code of a file as it was at `time`; comments, docstrings, imports are empty.

    So are the heads of functions.
    """
    text = file.read_text(errors="replace")
    lines = [line.partition("#")[0] for line in text.splitlines()]
    functions, iterators = [], []
    for node in nodes_of(text):
        is_definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if isinstance(node, ast.FunctionDef):
            functions.append(range(node.lineno - 1, node.end_lineno))
        if isinstance(node, ast.ClassDef):
            iterators += [(node.name, range(n.lineno - 1, n.end_lineno)) for n in iter_of(node)]
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_definition or is_text or isinstance(node, (ast.Import, ast.ImportFrom)):
            last = node.body[0].lineno - 1 if is_definition else node.end_lineno
            lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return Source(lines, functions, iterators)


def iter_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Return the method of a class that iterates, if it has one."""
    return [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__iter__"]


def makers(stack: Stack) -> tuple[str, ...]:
    """Return a pattern for the lines that make what these lines iterate over; none: nothing.

    Such as the sampler of a split, where a loader has another one for the other split.
    """
    names = []
    for file, line in stack:
        for name, lines in read(Path(file), Path(file).stat().st_mtime_ns).iterators:
            if line - 1 in lines and name not in names:
                names.append(name)
    return (rf"\b({'|'.join(names)})\(",) if names else ()


def nodes_of(text: str) -> Iterator[ast.AST]:
    """Yield the nodes of a file's syntax tree; none where it is no Python."""
    try:
        yield from ast.walk(ast.parse(text))
    except SyntaxError:
        return
