"""What a homework may not do, read off its text: it is parsed here and not run."""

import ast
from pathlib import Path
from typing import NamedTuple

from portproof.system.errors import UserError

MODULES = {"__future__", "paddle", "numpy", "models", "metric", "loop", "optim"}
MODULES |= {"argparse", "collections", "dataclasses", "functools", "itertools", "math", "typing"}
WITHIN_PADDLE = {"vision", "hub", "utils", "base", "jit", "static"}
NAMES = {"eval", "exec", "compile", "open", "globals", "vars", "breakpoint", "__import__"}
DUNDERS = {"__init__", "__class__", "__name__", "__doc__"}


class Breach(NamedTuple):
    """A rule that a file breaks, and the line."""

    cause: str
    line: int


def breach(path: Path) -> Breach | None:
    """Return the first rule that a file breaks, or None. Raises UserError where it is no text."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        return Breach(f"it is no Python: {error.msg}", error.lineno or 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    nodes = list(ast.walk(tree))
    aliases = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    paddles = {alias.asname or "paddle" for alias in aliases if alias.name == "paddle"}
    if any(alias.name.startswith("paddle.") and not alias.asname for alias in aliases):
        paddles.add("paddle")  # `import paddle.nn` makes it known too
    breaches = filter(None, (_look(node, paddles) for node in nodes))
    return min(breaches, key=lambda breach: breach.line, default=None)


def _look(node: ast.AST, paddles: set[str]) -> Breach | None:
    """Return the rule that a node breaks; `paddles` are the names under which Paddle is known."""
    imported = []
    if isinstance(node, ast.Import):
        imported = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (f"{node.module}." if node.module else "")
        imported = [f"{module}{alias.name}" for alias in node.names]
    for name in imported:
        if not _may_import(name):
            return Breach(f"it imports {name}, which this homework may not use", node.lineno)
    if isinstance(node, ast.Name) and node.id in NAMES:
        return Breach(f"it uses {node.id}, which this homework may not", node.lineno)
    if isinstance(node, ast.Attribute):
        hidden = node.attr.startswith("__") and node.attr not in DUNDERS
        shut = isinstance(node.value, ast.Name) and node.value.id in paddles
        if hidden or (shut and node.attr in WITHIN_PADDLE):
            text = ast.unparse(node)
            return Breach(f"it uses {text}, which this homework may not", node.lineno)
    return None


def _may_import(name: str) -> bool:
    first, _, rest = name.partition(".")
    return first in MODULES and not (first == "paddle" and rest.split(".")[0] in WITHIN_PADDLE)
