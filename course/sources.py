"""The trees' own code for the chapters: found by name, set side by side, never copied.

A chapter names code by a line of its own, which a reader of the plain file can follow as links:

    [torch](../../AlexNet-torch/optim.py) | [Paddle](../../AlexNet-paddle/optim.py): `build`

or, where both functions stand in one file:

    [by hand](../../course/compare_by_hand.py): `forward_torch` | `forward_paddle`

course/site_hooks.py puts the two functions in its place as the site is built.
"""

import ast
import difflib
import re
from pathlib import Path
from typing import NamedTuple

from common.paths import ROOT
from portproof.system.errors import UserError

TREES = ("AlexNet-torch", "AlexNet-paddle")
CODE_LINE = re.compile(
    r"^\[torch\]\(\.\./\.\./AlexNet-torch/(?P<torch>\S+)\) \| "
    r"\[Paddle\]\(\.\./\.\./AlexNet-paddle/(?P<paddle>\S+)\): (?P<names>`.+`)$",
    re.MULTILINE,
)
FILE_LINE = re.compile(
    r"^\[[^\]]+\]\(\.\./\.\./(?P<file>\S+)\): (?P<names>`[^`]+` \| `[^`]+`)$", re.MULTILINE
)


class Source(NamedTuple):
    file: str  # from the root of the repository
    line: int  # of the first line, from 1
    lines: list[str]


class Block(NamedTuple):
    """Lines that stand beside each other: numbers of the first and the one past the last."""

    torch: tuple[int, int]
    paddle: tuple[int, int]
    same: bool


def find(file: str, name: str) -> Source:
    """Return a function, a class or CLASS.METHOD, with its decorators, or raise UserError."""
    path = ROOT / file
    if not path.is_file():
        raise UserError(f"{file}: no such file; correct the chapter that names it")
    text = path.read_text()
    body = ast.parse(text).body
    for part in name.split("."):
        node = next((statement for statement in body if name_of(statement) == part), None)
        if node is None:
            raise UserError(f"{file}: has no {name}; correct the chapter that names it")
        body = getattr(node, "body", [])
    first = min([node.lineno, *(line.lineno for line in getattr(node, "decorator_list", []))])
    return Source(file, first, text.splitlines()[first - 1 : node.end_lineno])


def name_of(node: ast.stmt) -> str | None:
    """Return the name that a statement defines, if it defines one."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def pairs_of(match: re.Match) -> list[tuple[Source, Source]]:
    """Return the functions that a line of either kind names, as (torch's, Paddle's)."""
    names = re.findall(r"`([^`]+)`", match["names"])
    if "file" in match.groupdict():
        torch, paddle = (find(match["file"], name) for name in names)
        return [(torch, paddle)]
    file = match["torch"]
    if file != match["paddle"]:
        raise UserError(f"{match[0]}: two different files; name the same one in both trees")
    torch, paddle = TREES
    return [(find(f"{torch}/{file}", name), find(f"{paddle}/{file}", name)) for name in names]


def named_code(text: str) -> list[tuple[Source, Source]]:
    """Return all functions that a page names, as (torch's, Paddle's)."""
    lines = [*CODE_LINE.finditer(text), *FILE_LINE.finditer(text)]
    return [pair for line in lines for pair in pairs_of(line)]


def align(torch: list[str], paddle: list[str]) -> list[Block]:
    """Set two texts beside each other, equal lines in one block."""
    matcher = difflib.SequenceMatcher(None, torch, paddle, autojunk=False)
    return [Block((a, b), (c, d), tag == "equal") for tag, a, b, c, d in matcher.get_opcodes()]


def pages(language: str) -> list[Path]:
    """Return the pages of the course in a language, en or zh, chapters first."""
    folder = ROOT / "docs" / language
    return sorted(folder.glob("*.md"), key=lambda path: (not path.name[0].isdigit(), path.name))
