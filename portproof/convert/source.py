"""Python source, looked at as a tree and changed as text: what is not changed stays as it is."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

MARK = ">>>>>>"  # PaConvert writes it before each line that it could not convert
BY_HAND, DONE, LOOK = "by hand", "done", "look"
MOST_BLOCKS = 1000  # empty blocks in one file


@dataclass(frozen=True)
class Finding:
    """One place: what is there, and what was or is to be done. `line` counts from 1."""

    file: str
    line: int
    what: str
    fix: str
    kind: str = BY_HAND
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}; {self.fix}"


@dataclass
class Source:
    """One file. Edits are noted by `replace` and `insert`, and made all at once by `edited`."""

    file: str  # within the project
    text: str
    tree: ast.Module = field(init=False)
    edits: list[tuple[int, int, bytes]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.text)
        self._bytes = self.text.encode()
        self._starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    @cached_property
    def imported(self) -> dict[str, str]:
        """What the names of the file mean, by its imports: Conv2d is torch.nn.Conv2d."""
        imported: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    head = alias.name.partition(".")[0]
                    imported[alias.asname or head] = alias.name if alias.asname else head
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return imported

    def full(self, node: ast.AST) -> str:
        """Return the dotted name of a Name or an Attribute; of another expression nothing."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imported.get(node.id, node.id), *reversed(parts)])

    def chains(self, head: str) -> Iterator[tuple[ast.AST, str]]:
        """Yield the longest names that begin with `head`, with their nodes."""
        inner = {id(node.value) for node in nodes(self.tree, ast.Attribute)}
        for node in nodes(self.tree, ast.Attribute, ast.Name):
            full = self.full(node)
            if id(node) not in inner and (full == head or full.startswith(head + ".")):
                yield node, full

    def used(self) -> set[str]:
        """Return the names that stand in the file, but for those of attributes."""
        return {node.id for node in nodes(self.tree, ast.Name)}

    def _place(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends, in bytes."""
        return (
            self._place(node.lineno, node.col_offset),
            self._place(node.end_lineno, node.end_col_offset),
        )

    def code(self, node: ast.AST) -> str:
        """Return the text of a node, on one line where it is an expression without comments."""
        start, end = self.span(node)
        text = self._bytes[start:end].decode()
        return text if "#" in text or '"""' in text else re.sub(r"\s*\n\s*", " ", text)

    def replace(self, node: ast.AST, text: str) -> bool:
        """Note that `text` takes a node's place. False where a note on the same text stands."""
        return self.put(*self.span(node), text)

    def exchange(
        self, node: ast.AST, text: str, what: str, fix: str, rule: str
    ) -> Iterator[Finding]:
        """Note that `text` takes a node's place, and yield that it is done; nothing where not."""
        if self.replace(node, text):
            yield Finding(self.file, node.lineno, what, fix, DONE, rule)

    def by_hand(self, node: ast.AST, what: str, fix: str, rule: str) -> Finding:
        """Return what is left to do at a node."""
        return Finding(self.file, node.lineno, what, fix, BY_HAND, rule)

    def put(self, start: int, end: int, text: str) -> bool:
        if any(start < other_end and other < end for other, other_end, _ in self.edits):
            return False
        self.edits.append((start, end, text.encode()))
        return True

    def insert_line(self, before: int, text: str) -> None:
        """Note that a line of text comes before line `before` (from 1)."""
        place = self._starts[before - 1]
        self.edits.append((place, place, text.encode() + b"\n"))

    def import_modules(self, *names: str) -> None:
        """Note an import of each of these modules that the file uses and does not import."""
        used = self.used()
        for name in names:
            if name in used and name not in self.imported:
                self.insert_line(self.first_line_for_imports(), f"import {name}")

    def edited(self) -> str:
        """Return the text with all edits made."""
        result = self._bytes
        for start, end, text in sorted(self.edits, key=lambda edit: edit[:2], reverse=True):
            result = result[:start] + text + result[end:]
        return result.decode()

    def first_line_for_imports(self) -> int:
        """Return the line before which an import may stand: behind docstring and __future__."""
        line = 1
        for node in self.tree.body:
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not (is_docstring(node) or is_future):
                return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            line = node.end_lineno + 1
        return line


def nodes(tree: ast.AST, *kinds: type) -> Iterator[Any]:
    """Yield the nodes of these kinds: `tree` itself and what lies below it."""
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def docstrings(tree: ast.AST) -> set[int]:
    """Return the ids of the constants that are docstrings, or stand alone as statements."""
    return {id(node.value) for node in ast.walk(tree) if is_docstring(node)}


def parents(tree: ast.AST) -> dict[int, ast.AST]:
    """Return each node's parent by the node's id."""
    return {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def arguments(call: ast.Call, order: Iterable[str]) -> dict[str, ast.expr] | None:
    """Return a call's arguments by name; None where they cannot be told (*args, **kwargs)."""
    order = list(order)
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg is None)]
    starred = any(isinstance(node, ast.Starred) for node in call.args)
    if starred or any(keyword.arg is None for keyword in call.keywords) or len(given) > len(order):
        return None
    found = dict(zip(order, call.args, strict=False))
    found |= {keyword.arg: keyword.value for keyword in call.keywords}
    return found


def bound_names(tree: ast.AST) -> set[str]:
    """Return every name that a file gives a meaning to, in whatever scope."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def without_marks(text: str) -> tuple[str, list[int]]:
    """Return text without PaConvert's marks, and the lines on which they stood."""
    lines, marked = text.split("\n"), []
    for number, line in enumerate(lines):
        if line.startswith(MARK):
            lines[number] = line.removeprefix(MARK)
            marked.append(number + 1)
    return "\n".join(lines), marked


def fill_blocks(text: str) -> tuple[str, list[int]]:
    """Put `pass` into blocks that a converter has left empty, and return the lines of these."""
    filled = []
    for _ in range(MOST_BLOCKS):
        try:
            ast.parse(text)
        except IndentationError as error:
            found = re.search(r"expected an indented block after .* on line (\d+)", str(error))
            if not found:
                break
            lines, place = text.split("\n"), int(found[1])
            header = place
            while not lines[header - 1].split("#")[0].rstrip().endswith(":"):
                header += 1  # a statement that goes over several lines
            own = lines[place - 1]
            lines.insert(header, " " * (len(own) - len(own.lstrip()) + 4) + "pass")
            filled.append(header)
            text = "\n".join(lines)
        except SyntaxError:
            break
        else:
            break
    return text, filled


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.is_file())


def read_text(path: Path) -> str:
    """Return a file's text, line ends as "\\n". Raises ValueError where it is not UTF-8."""
    return path.read_bytes().decode().replace("\r\n", "\n").replace("\r", "\n")
