"""Questions to a tree of Python, each node of which knows its `parent`."""

import ast
from collections.abc import Iterable, Iterator
from typing import Any


def nodes(tree: ast.AST, *kinds: type) -> Iterator[Any]:
    """Yield the nodes of these kinds: `tree` itself and what lies below it."""
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def is_method(call: ast.Call, *names: str) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in names


def is_docstring(node: ast.AST) -> bool:
    """Say whether a node is a text that stands alone as a statement."""
    text = node.value if isinstance(node, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def is_false(node: ast.AST) -> bool:
    """Say whether a node is a constant that counts as false: 0, None, an empty text."""
    return isinstance(node, ast.Constant) and not node.value


def call_of(func: ast.AST) -> ast.Call | None:
    """Return the call of which a node is the function."""
    call = func.parent
    return call if isinstance(call, ast.Call) and call.func is func else None


def has_keyword(call: ast.Call, name: str) -> bool:
    return any(word.arg == name for word in call.keywords)


def arguments(call: ast.Call, order: Iterable[str]) -> dict[str, ast.expr] | None:
    """Return a call's arguments by name; None where there are *args or **kwargs."""
    order = list(order)
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    starred = any(isinstance(node, ast.Starred) for node in call.args)
    if starred or None in named or len(call.args) > len(order):
        return None
    return dict(zip(order, call.args, strict=False)) | named
