"""Rewrites of what X2Paddle alone writes: emulations of PyTorch, and a learning rate of its own."""

import ast

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import Place, Places, Source
from portproof.convert.trees import call_of, nodes


def silent_rates(source: Source) -> Places:
    """X2Paddle gives every schedule the learning rate 0.01, whatever the optimizer's is."""
    known = {"CosineAnnealingDecay": "CosineAnnealingLR", "MultiStepDecay": "MultiStepLR"}
    for node, full in source.chains("x2paddle.torch2paddle"):
        kind = full.rpartition(".")[2]
        what = f"{kind} at the rate 0.01, in silence"
        if kind in known:
            yield Place(node, what, "begins at the optimizer's rate", f"{HELPERS}.{known[kind]}")
        elif kind == "ReduceOnPlateau":
            fix = "set the schedule's base_lr and last_lr to the optimizer's rate"
            yield Place(node, what, fix)


def native(source: Source) -> Places:
    """X2Paddle's emulations of methods that Paddle has do not go over these."""
    used = source.used()
    for node in nodes(source.tree, ast.Import, ast.ImportFrom):
        lines = _native_imports(node, used)
        if lines is not None:
            fix = "do not replace Paddle's own"
            yield Place(node, "X2Paddle's emulated methods", fix, "\n".join(lines))


def _native_imports(node: ast.Import | ast.ImportFrom, used: set[str]) -> list[str] | None:
    """Return what to import in the place of X2Paddle's module; None: this is no such import."""
    head = "from x2paddle_native import torch2paddle"
    if isinstance(node, ast.Import):
        if node.names[0].name != "x2paddle.torch2paddle":
            return None
        alias = node.names[0].asname or "x2paddle"
        return [f"{head} as {alias}"] if alias in used else []
    imported = {alias.asname or alias.name: alias.name for alias in node.names}
    imported = {alias: name for alias, name in imported.items() if alias in used}
    if node.module == "x2paddle":
        return [f"{head} as {alias}" if alias != name else head for alias, name in imported.items()]
    if node.module != "x2paddle.torch2paddle":
        return None
    lines = [f"{alias} = torch2paddle.{name}" for alias, name in imported.items()]
    return [head, *lines] if lines else []


def emulations(source: Source) -> Places:
    """What X2Paddle emulates and Paddle has by now is Paddle's own."""
    for node, full in source.chains("x2paddle.torch2paddle"):
        target = api_tables.EMULATIONS.get(full.rpartition(".")[2])
        is_creation = full.endswith(".create_tensor") and call_of(node)
        if target and not is_creation:
            yield Place(node, full, f"is {target}", target)
