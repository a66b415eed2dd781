"""The framework's own functions, exchanged for a time in every module that has them."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

KINDS = ["avg", "max", "adaptive_avg", "adaptive_max"]
# Of a framework's `functional`, those whose settings decide what they give; layers call them too.
SETTLED = ["conv1d", "conv2d", "conv3d", "linear", "local_response_norm"]
SETTLED += ["batch_norm", "instance_norm", "layer_norm", "group_norm"]
SETTLED += [f"{kind}_pool{n}d" for kind in KINDS for n in "123"]


@contextmanager
def replaced_everywhere(pairs: list[tuple[Callable, Callable]]) -> Iterator[None]:
    """Within, every module has the new functions of `pairs`, (old, new), under whatever name."""
    _replace(pairs)
    try:
        yield
    finally:
        _replace([(new, old) for old, new in pairs])


def _replace(pairs: list[tuple[Callable, Callable]]) -> None:
    exchanged = {id(old): new for old, new in pairs}
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in exchanged:
                setattr(module, name, exchanged[id(value)])


@contextmanager
def noted_functions(backend: ModuleType, note: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Call `note` about each call of one of SETTLED, but not by another; tensors as shapes."""
    depth = 0

    def plain(value: Any) -> Any:
        return {"shape": list(value.shape)} if isinstance(value, backend.Tensor) else value

    def noting(name: str, original: Callable) -> Callable:
        @functools.wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal depth
            if not depth:
                positional = [plain(value) for value in arguments[1:]]
                named = {key: plain(value) for key, value in options.items()}
                note({"function": name, "given": positional, "options": named})
            depth += 1
            try:
                return original(*arguments, **options)
            finally:
                depth -= 1

        return call

    originals = {name: getattr(backend.F, name) for name in SETTLED}
    with replaced_everywhere([(old, noting(name, old)) for name, old in originals.items()]):
        yield
