"""Tensors in tuples, lists and dicts, nested as a project likes."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any


def tensors_of(backend: ModuleType, value: Any) -> list[Any]:
    """Return the tensors of a nested value, in order."""
    if isinstance(value, backend.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in tensors_of(backend, item)]
    return []


def exchange(backend: ModuleType, value: Any, replacements: Iterator[Any]) -> Any:
    """Return `value` with each of its tensors exchanged for the next one of `replacements`."""
    if isinstance(value, backend.Tensor):
        return next(replacements, value)
    if isinstance(value, dict):
        return {key: exchange(backend, item, replacements) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [exchange(backend, item, replacements) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
