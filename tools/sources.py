"""Find in the code of a tree the line that a fault is about."""

import ast
import re
from pathlib import Path

from common.trees import INSTRUMENTS
from tools.findings import at
from tools.probes import Side, to_mend

Words = tuple[str, ...]


def fix(
    sides: dict[str, Side], what: str, *patterns: str, within: Words = (), files: Words = ()
) -> str:
    """Return what to change, with FILE:LINE and the code there, in the side that is to be mended.

    `patterns`, `within` and `files` are those of find_line.
    """
    side = sides[to_mend(sides)]
    return at(find_line(side.tree, patterns, within, files, only=side.own_files), what)


def find_line(
    tree: Path,
    patterns: Words,
    within: Words = (),
    files: Words = (),
    without: Words = (),
    only: Words = (),
) -> str | None:
    """Return FILE:LINE of the first line of code in a tree that a pattern matches.

    The functions named in `within` are searched first, in their order, and then all; `files` are
    the first ones to look into, `without` are left out; where `only` names files, all others are.
    """
    sources = _sources(tree, files, without)
    if only:
        named = {tree / name for name in only}
        sources = {file: source for file, source in sources.items() if file in named}
    for function in (*within, None):
        for pattern in patterns:
            for file, (lines, functions) in sources.items():
                numbers = range(len(lines)) if function is None else functions.get(function, ())
                for number in numbers:
                    if re.search(pattern, lines[number]):
                        return f"{file}:{number + 1}"
    return None


def _sources(
    tree: Path, first: Words, without: Words
) -> dict[Path, tuple[list[str], dict[str, range]]]:
    """Return the code of a tree by file, without what a program does not do, and its functions.

    Empty are comments, docstrings, imports and the heads of functions.
    """
    found = {}
    others = sorted(str(file.relative_to(tree)) for file in tree.rglob("*.py"))
    for name in dict.fromkeys([*first, *others]):
        if name in INSTRUMENTS or name in without or not (tree / name).is_file():
            continue
        text = (tree / name).read_text(errors="replace")
        lines = [line.partition("#")[0] for line in text.splitlines()]
        functions: dict[str, range] = {}
        try:
            nodes = list(ast.walk(ast.parse(text)))
        except SyntaxError:
            nodes = []
        for node in nodes:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                functions[node.name] = range(node.lineno - 1, node.end_lineno)
            head = isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom))
            text_alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if head or text_alone:
                last = node.body[0].lineno - 1 if hasattr(node, "body") else node.end_lineno
                lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
        found[tree / name] = lines, functions
    return found
