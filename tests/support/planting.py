"""Edits of code that find their place by its syntax: in any file, however it is laid out."""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from portproof.port import PORT

LEFT_ALONE = (PORT,)  # by it tools look at a training: no part of it


class Edit(NamedTuple):
    """Code, and what takes its place; the code must stand in the tree once.

    `old` is an expression, or statements or arguments that follow each other. It is compared as a
    syntax tree: line breaks, comments and quotes do not matter. Where it is empty, `new` is put
    before the definition of `within`; an empty `new` takes `old` out.
    """

    old: str
    new: str
    within: str = ""  # a function or class, as `evaluate` or `AlexNet.forward`
    every: bool = False  # it may stand there several times, and is changed everywhere


class Place(NamedTuple):
    """Where code stands in a file. `start` and `end` count bytes, `line` from 1."""

    path: Path
    line: int
    start: int
    end: int
    is_statement: bool


def plant(root: Path, edits: Iterable[Edit]) -> None:
    """Make the edits in a tree, one after the other; all other text stays.

    Raises LookupError where code is missing or ambiguous, ValueError where new code is misread.
    """
    for edit in edits:
        places = find(root, edit)
        if len(places) > 1 and not edit.every:
            lines = ", ".join(f"{place.path.relative_to(root)}:{place.line}" for place in places)
            raise LookupError(f"{edit.old!r} stands at {lines}: name the function around it")
        for path in {place.path for place in places}:
            replace(path, [place for place in places if place.path == path], edit)


def find(root: Path, edit: Edit) -> list[Place]:
    """Return where the code that an edit changes stands. Raises LookupError where it is missing."""
    files = sorted(path for path in root.rglob("*.py") if path.name not in LEFT_ALONE)
    places = [place for path in files for place in find_in(path, edit)]
    if not places:
        within = f" within {edit.within}" if edit.within else ""
        raise LookupError(f"{root} has no {edit.old!r}{within}")
    return places


def find_in(path: Path, edit: Edit) -> list[Place]:
    """Return the places of an edit in one file, in order."""
    text = path.read_bytes()
    places = set()
    for scope in definitions(parse(text), edit.within):
        for nodes in occurrences(scope, edit.old) if edit.old else [[scope]]:
            start, end = span(text, nodes)
            if not edit.old:
                line = min(node.lineno for node in (scope, *scope.decorator_list))
                start = end = offset(text, line, scope.col_offset)
            line = text.count(b"\n", 0, start) + 1
            places.add(Place(path, line, start, end, isinstance(nodes[0], ast.stmt)))
    # A call that is a statement is an expression too.
    return list({(place.start, place.end): place for place in sorted(places)}.values())


@lru_cache(maxsize=100)
def parse(text: bytes) -> ast.Module:
    return ast.parse(text)


def definitions(tree: ast.AST, name: str, above: str = "") -> Iterator[ast.AST]:
    """Yield the functions and classes whose dotted name ends with `name`; for no name the tree."""
    if not name:
        yield tree
        return
    for node in ast.iter_child_nodes(tree):
        dotted = above
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            dotted = f"{above}.{node.name}"
            if dotted.endswith(f".{name}"):
                yield node
        yield from definitions(node, name, dotted)


@lru_cache(maxsize=100)
def readings(code: str) -> list[list[ast.AST]]:
    """Return what code can be: statements, or arguments. Raises ValueError where it is neither."""
    code = textwrap.dedent(code).strip()
    rows = []
    with suppress(SyntaxError):
        rows.append(ast.parse(code).body)
    with suppress(SyntaxError):
        rows.append(arguments(ast.parse(f"f({code}\n)", mode="eval").body))
    if not any(rows):
        raise ValueError(f"this is no Python: {code!r}")
    return rows


def arguments(call: ast.Call) -> list[ast.AST]:
    """Return what a call is given, in the order in which it is written."""
    return sorted([*call.args, *call.keywords], key=lambda node: (node.lineno, node.col_offset))


def occurrences(scope: ast.AST, code: str) -> Iterator[list[ast.AST]]:
    """Yield the nodes within `scope` that are the code; of several, all in a row."""
    for wanted in readings(code):
        for row in rows(scope):
            for first in range(len(row) - len(wanted) + 1):
                nodes = row[first : first + len(wanted)]
                if all(map(is_same, nodes, wanted)):
                    yield nodes


@lru_cache(maxsize=100)
def rows(scope: ast.AST) -> list[list]:
    """Return what stands in a row within `scope`: statements, arguments, elements; or alone."""
    every_row, waiting = [], [scope]
    while waiting:
        node = waiting.pop()
        fields = [field for _, field in ast.iter_fields(node)]
        if isinstance(node, ast.Call):
            fields = [node.func, arguments(node)]
        for field in fields:
            row = field if isinstance(field, list) else [field]
            every_row.append(row)
            inner = [child for child in row if isinstance(child, ast.AST)]
            waiting += [child for child in inner if not isinstance(child, ast.JoinedStr)]
    return every_row


def is_same(left: object, right: object) -> bool:
    """Say whether two nodes, or what stands in them, are the same, be they read or assigned to."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    if not isinstance(left, ast.AST):
        return left == right
    names = [name for name in left._fields if name != "ctx"]
    return all(is_same(getattr(left, name), getattr(right, name)) for name in names)


def span(text: bytes, nodes: list[ast.AST]) -> tuple[int, int]:
    """Return where the first node begins and the last one ends, in bytes."""
    first, last = nodes[0], nodes[-1]
    start = offset(text, first.lineno, first.col_offset)
    return start, offset(text, last.end_lineno, last.end_col_offset)


def offset(text: bytes, line: int, column: int) -> int:
    """Return where a column (from 0) of a line (from 1) is in the text, all in bytes."""
    return sum(map(len, text.splitlines(keepends=True)[: line - 1])) + column


def replace(path: Path, places: list[Place], edit: Edit) -> None:
    """Put an edit's new code in these places of one file. Raises ValueError as `plant`."""
    text = path.read_bytes()
    code, done, changed = b"", 0, []
    for place in places:
        start, end = (place.start, place.end) if edit.new else with_rest(text, place)
        code += text[done:start]
        begin = len(code)
        code += indented(text, place, edit)
        changed.append((begin, len(code)))
        done = end
    code += text[done:]
    after = ast.parse(code)
    if edit.new:
        spans = {span(code, nodes) for nodes in occurrences(after, edit.new)}
        for begin, end in changed:
            if not any(begin <= first and last <= end for first, last in spans):
                raise ValueError(f"{path}: {edit.new!r} is read otherwise there: parenthesize it")
    path.write_bytes(code)


def indented(text: bytes, place: Place, edit: Edit) -> bytes:
    """Return an edit's new code with the indentation of the line on which its place begins."""
    line = text[text.rfind(b"\n", 0, place.start) + 1 :]
    indent = line[: len(line) - len(line.lstrip())].decode()
    new = textwrap.indent(textwrap.dedent(edit.new).strip(), indent)[len(indent) :]
    if not edit.old:  # before a definition, with the blank lines that part it from others
        new += ("\n\n" if indent else "\n\n\n") + indent
    return new.encode()


def with_rest(text: bytes, place: Place) -> tuple[int, int]:
    """Return what goes with code that is taken out: its comma, and the line if nothing is left."""
    start, end = place.start, place.end
    if not place.is_statement:
        if after := re.match(rb"\s*,", text[end:]):
            end += after.end()
        elif before := re.search(rb",\s*\Z", text[:start]):
            start = before.start()
    line = text.rfind(b"\n", 0, start) + 1
    rest = re.match(rb"[ \t]*(#.*)?\n", text[end:])
    if rest and not text[line:start].strip():
        return line, end + rest.end()
    return start, end
