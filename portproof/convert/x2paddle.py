"""Rewrites of what X2Paddle alone writes: emulations of PyTorch, and a learning rate of its own."""

import ast
from collections.abc import Iterator

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import Finding, Source


def silent_rates(source: Source) -> Iterator[Finding]:
    """X2Paddle gives every schedule the learning rate 0.01, whatever the optimizer's is."""
    known = {"CosineAnnealingDecay": "CosineAnnealingLR", "MultiStepDecay": "MultiStepLR"}
    for node, full in source.chains("x2paddle.torch2paddle"):
        kind = full.rpartition(".")[2]
        what = f"{kind} at the rate 0.01, in silence"
        if kind in known:
            words, fix = f"{HELPERS}.{known[kind]}", "begins at the optimizer's rate"
            yield from source.exchange(node, words, what, fix, "learning rate")
        elif kind == "ReduceOnPlateau":
            fix = "set the schedule's base_lr and last_lr to the optimizer's rate"
            yield source.finding(node, what, fix, "learning rate")


def native(source: Source) -> Iterator[Finding]:
    """X2Paddle's emulations of methods that Paddle has do not go over these."""
    used = source.used()
    for node in ast.walk(source.tree):
        lines = _native_imports(node, used)
        if lines is not None:
            what, fix = "X2Paddle's emulated methods", "do not replace Paddle's own"
            yield from source.exchange(node, "\n".join(lines), what, fix, "native")


def _native_imports(node: ast.AST, used: set[str]) -> list[str] | None:
    """Return what to import in the place of X2Paddle's module; None: this is no such import."""
    head = "from x2paddle_native import torch2paddle"
    if isinstance(node, ast.Import) and node.names[0].name == "x2paddle.torch2paddle":
        alias = node.names[0].asname or "x2paddle"
        return [f"{head} as {alias}"] if alias in used else []
    if not isinstance(node, ast.ImportFrom):
        return None
    imported = {alias.asname or alias.name: alias.name for alias in node.names}
    imported = {alias: name for alias, name in imported.items() if alias in used}
    if node.module == "x2paddle":
        return [f"{head} as {alias}" if alias != name else head for alias, name in imported.items()]
    if node.module == "x2paddle.torch2paddle" and imported:
        return [head, *(f"{alias} = torch2paddle.{name}" for alias, name in imported.items())]
    return [] if node.module == "x2paddle.torch2paddle" else None


def emulations(source: Source) -> Iterator[Finding]:
    """What X2Paddle emulates and Paddle has by now is Paddle's own."""
    called = {id(call.func) for call in source.calls()}
    for node, full in source.chains("x2paddle.torch2paddle"):
        target = api_tables.EMULATIONS.get(full.rpartition(".")[2])
        is_creation = full.endswith(".create_tensor") and id(node) in called
        if target and not is_creation:
            yield from source.exchange(node, target, full, f"is {target}", "native")
