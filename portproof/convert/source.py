"""Python source, looked at as a tree and changed as text: what is not changed stays as it is."""

import ast
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from portproof.convert.api_tables import HELPERS
from portproof.convert.trees import is_docstring, is_method, nodes

BY_HAND, DONE, LOOK = "by hand", "done", "look"


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


class Place(NamedTuple):
    """What a rule sees at a node, and what to do; `text`: what it writes there itself.

    `span`: the bytes that the text replaces, where they are not the node's.
    """

    node: ast.AST
    what: str
    fix: str
    text: str | None = None
    span: tuple[int, int] | None = None


Places = Iterator[Place]  # what a rule yields


@dataclass
class Source:
    """One file; each node of its tree knows its `parent`.

    Edits are noted by `replace`, `rewrite` and `import_modules`, and made all at once by `edited`.
    """

    file: str  # within the project
    text: str
    tree: ast.Module = field(init=False)
    edits: list[tuple[int, int, bytes]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.text)
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node
        self._bytes = self.text.encode()
        self._starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    @cached_property
    def imported(self) -> dict[str, str]:
        """What the names of the file mean, by its imports: Conv2d is torch.nn.Conv2d."""
        imported: dict[str, str] = {}
        for node in nodes(self.tree, ast.alias):
            statement = node.parent
            if isinstance(statement, ast.Import):
                head = node.name.partition(".")[0]
                imported[node.asname or head] = node.name if node.asname else head
            elif statement.module and not statement.level:
                imported[node.asname or node.name] = f"{statement.module}.{node.name}"
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

    def chains(self, *heads: str) -> Iterator[tuple[ast.AST, str]]:
        """Yield the longest names that begin with a head, with their nodes, by the heads' order."""
        for head in heads:
            for node in nodes(self.tree, ast.Attribute, ast.Name):
                full = self.full(node)
                is_inner = isinstance(node.parent, ast.Attribute)
                if not is_inner and (full == head or full.startswith(head + ".")):
                    yield node, full

    def calls(self, *methods: str) -> Iterator[ast.Call]:
        """Yield the calls of a file, or those of methods of these names."""
        for node in nodes(self.tree, ast.Call):
            if not methods or is_method(node, *methods):
                yield node

    def calls_of(self, *names: str) -> Iterator[ast.Call]:
        """Yield the calls of functions by their full names."""
        return (call for call in self.calls() if self.full(call.func) in names)

    def is_of_module(self, call: ast.Call) -> bool:
        """Say whether what is called belongs to a module, as np.max: no method of a tensor."""
        root = call.func
        while isinstance(root, ast.Attribute):
            root = root.value
        modules = {*self.imported, "torch", "paddle", HELPERS}
        return isinstance(root, ast.Name) and root.id in modules

    def used(self) -> set[str]:
        """Return the names that stand in the file, but for those of attributes."""
        return {node.id for node in nodes(self.tree, ast.Name)}

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends, in bytes."""
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def code(self, node: ast.AST) -> str:
        """Return the text of a node, on one line where it is an expression without comments."""
        start, end = self.span(node)
        text = self._bytes[start:end].decode()
        return text if "#" in text or '"""' in text else re.sub(r"\s*\n\s*", " ", text)

    def arguments_of(self, call: ast.Call, left_out: Container[str] = ()) -> list[str]:
        """Return a call's arguments as they are written, without keywords that are left out."""
        written = [self.code(argument) for argument in call.args]
        for word in call.keywords:
            if word.arg not in left_out:
                written.append((f"{word.arg}=" if word.arg else "**") + self.code(word.value))
        return written

    def replace(self, node: ast.AST, text: str) -> bool:
        """Note that `text` takes a node's place. False where a note on the same text stands."""
        return self._put(*self.span(node), text)

    def rewrite(self, places: Iterable[Place], rule: str) -> list[Finding]:
        """Note the texts that a rule writes; return what is done by them."""
        findings = []
        for place in places:
            span = place.span or self.span(place.node)
            if place.text is not None and self._put(*span, place.text):
                findings.append(self.finding(place, rule, DONE))
        return findings

    def left(self, places: Iterable[Place], rule: str, kind: str = BY_HAND) -> list[Finding]:
        """Return the places for which a rule has no text."""
        return [self.finding(place, rule, kind) for place in places if place.text is None]

    def finding(self, place: Place, rule: str, kind: str = BY_HAND) -> Finding:
        return Finding(self.file, place.node.lineno, place.what, place.fix, kind, rule)

    def _put(self, start: int, end: int, text: str) -> bool:
        if any(start < other_end and other < end for other, other_end, _ in self.edits):
            return False
        self.edits.append((start, end, text.encode()))
        return True

    def import_modules(self, *names: str) -> None:
        """Note an import of each of these modules that the file uses and does not import."""
        start = self.start_for_imports()
        for name in names:
            if name in self.used() and name not in self.imported:
                self._put(start, start, f"import {name}\n")

    def edited(self) -> str:
        """Return the text with all edits made."""
        edited = self._bytes
        for start, end, text in sorted(self.edits, key=lambda edit: edit[:2], reverse=True):
            edited = edited[:start] + text + edited[end:]
        return edited.decode()

    def start_for_imports(self) -> int:
        """Return the byte at which an import may stand: behind docstring and __future__."""
        line = 1
        for node in self.tree.body:
            is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not (is_docstring(node) or is_future):
                line = min(inner.lineno for inner in (node, *getattr(node, "decorator_list", ())))
                break
            line = node.end_lineno + 1
        return self._starts[line - 1]
