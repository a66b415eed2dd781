"""Find in the code beside a port the line that a fault is about."""

import ast
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from portproof.core.findings import Cause, Report, at
from portproof.core.step_compare import Reports
from portproof.core.training_pair import TrainingPair
from portproof.worker.client import Side, to_mend

Stack = Sequence[list]  # of [FILE, LINE]: a line of each function, the nearest first
Line = tuple[Path, int]  # a file and the number of a line in it, from 0


class Source(NamedTuple):
    """The code of a file: its lines without what a program does not do, and its functions."""

    lines: list[str]
    functions: list[range]  # of line numbers, from 0
    iterators: list[tuple[str, range]]  # classes that are iterated over, and their __iter__


def near(report: Report, *events: str) -> Stack:
    """Return which lines of the user's code led to events of a recorded training."""
    return [line for event in events for line in report.get("stacks", {}).get(event, [])]


def located(cause: Cause, pair: TrainingPair, reports: Reports) -> Cause:
    """Return a cause whose fix has FILE:LINE and the code there, in the side that is to be mended.

    The line is looked for near the cause's events; of `network`, in the files of its classes.
    """
    side = to_mend(pair.sides)
    stack = near(reports[side], *cause.event.split())
    if cause.event == "network":
        stack = pair.networks[side].files
    return with_line(cause, pair.sides[side], stack)


def with_line(cause: Cause, side: Side, stack: Stack = ()) -> Cause:
    """Return a cause whose fix has FILE:LINE, which find_line looks for, and the code there."""
    return replace(cause, fix=at(find_line(side, cause.patterns, stack), cause.fix))


def find_line(side: Side, patterns: Sequence[str], near: Stack = ()) -> str | None:
    """Return FILE:LINE of the first line of a side's own code that a pattern matches.

    Searched first are the lines of `near` and the functions in which they lie, then their files,
    then all; and the port file where nothing else has it, since it should do no more than adapt.
    """
    folder, port = side.folder.resolve(), side.port.resolve()
    named = {folder / name for name in side.own_files}
    stack = [(Path(file).resolve(), line - 1) for file, line in near]
    files = dict.fromkeys([file for file, _ in stack] + sorted(folder.rglob("*.py")))
    written = [file for file in files if folder in file.parents and (not named or file in named)]
    for searched in ([file for file in written if file != port], [port]):
        sources = {file: read(file, file.stat().st_mtime_ns) for file in searched}
        if line := search(sources, patterns, stack):
            return line
    return None


def search(sources: dict[Path, Source], patterns: Sequence[str], stack: list[Line]) -> str | None:
    """Return FILE:LINE of the first match; `stack` holds lines, from 0, to begin with."""
    near = [(file, line) for file, line in stack if file in sources]
    for file, line in list(near):
        around = [lines for lines in sources[file].functions if line in lines]
        near += [(file, n) for n in min(around, key=len, default=())]  # of the innermost one
    everywhere = [(file, n) for file, source in sources.items() for n in range(len(source.lines))]
    for lines, pattern in product((near, everywhere), patterns):
        for file, number in lines:
            if re.search(pattern, sources[file].lines[number]):
                return f"{file}:{number + 1}"
    return None


@lru_cache(maxsize=200)
def read(file: Path, time: int) -> Source:
    """Return a file's code as of `time`, without comments, docstrings, imports and heads."""
    text = file.read_text(errors="replace")
    source = Source([line.partition("#")[0] for line in text.splitlines()], [], [])
    nodes = []
    with suppress(SyntaxError):
        nodes = list(ast.walk(ast.parse(text)))
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            source.functions.append(range(node.lineno - 1, node.end_lineno))
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and part.name == "__iter__":
                iterator = node.name, range(part.lineno - 1, part.end_lineno)
                source.iterators.append(iterator)
        is_definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_definition or is_text or isinstance(node, (ast.Import, ast.ImportFrom)):
            last = node.body[0].lineno - 1 if is_definition else node.end_lineno
            source.lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return source


def makers(stack: Stack) -> tuple[str, ...]:
    """Return a pattern for the lines that make what these lines iterate over, such as a sampler."""
    names = {}
    for file, line in stack:
        iterators = read(Path(file), Path(file).stat().st_mtime_ns).iterators
        names |= {name: None for name, lines in iterators if line - 1 in lines}
    return (rf"\b({'|'.join(names)})\(",) if names else ()
