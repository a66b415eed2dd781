"""What both frameworks do alike, written once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial, wraps
from typing import Any

from portproof.backends import backend

# Of a framework's `functional`, those whose settings decide what they give; layers call them too.
SETTLED = ["conv1d", "conv2d", "conv3d", "linear", "local_response_norm"]
SETTLED += ["batch_norm", "instance_norm", "layer_norm", "group_norm"]
KINDS = ["avg", "max", "adaptive_avg", "adaptive_max"]
SETTLED += [f"{kind}_pool{n}d" for kind in KINDS for n in "123"]


@contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """Within, networks are made in `dtype`."""
    before = backend.framework.get_default_dtype()
    backend.framework.set_default_dtype(getattr(backend.framework, dtype))
    try:
        yield
    finally:
        backend.framework.set_default_dtype(before)


def to_default(tensor: Any) -> Any:
    """Return a tensor with its floating-point numbers in the dtype in which networks are made."""
    dtype = backend.framework.get_default_dtype()
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def tensors_of(nested: Any) -> list[Any]:
    """Return the tensors in tuples, lists and dicts, nested as a project likes, in order."""
    if isinstance(nested, dict):
        nested = list(nested.values())
    if isinstance(nested, (tuple, list)):
        return [tensor for part in nested for tensor in tensors_of(part)]
    return [nested] if isinstance(nested, backend.Tensor) else []


def exchange(nested: Any, replacements: Iterator[Any]) -> Any:
    """Return `nested` with each of its tensors exchanged for the next one of `replacements`."""
    if isinstance(nested, backend.Tensor):
        return next(replacements, nested)
    if isinstance(nested, dict):
        return {key: exchange(part, replacements) for key, part in nested.items()}
    if isinstance(nested, (tuple, list)):
        parts = [exchange(part, replacements) for part in nested]
        return type(nested)(*parts) if hasattr(nested, "_fields") else type(nested)(parts)
    return nested


def state(model: Any) -> dict[str, Any]:
    """Return the tensors of the state dict, the parameters themselves among them."""
    entries = model.state_dict(keep_vars=True).items()
    return {key: entry for key, entry in entries if isinstance(entry, backend.Tensor)}


def is_frameworks(cls: type) -> bool:
    """Say whether a class of layers is one of the framework's."""
    return cls.__module__.startswith(backend.LAYERS)


def kind(layer: Any) -> str:
    """Return the name of the framework's class that `layer` is or derives from; else its own."""
    classes = type(layer).__mro__
    kinds = (c for c in classes if is_frameworks(c) and c is not backend.Module)
    return next(kinds, classes[0]).__name__


def role(made: Any) -> str:
    """Return what an object serves for: optimizer, schedule, loss, parallel or layer."""
    if isinstance(made, backend.Optimizer):
        return "optimizer"
    if isinstance(made, backend.Schedule):
        return "schedule"
    name = kind(made)
    return "loss" if name.endswith("Loss") else "parallel" if "Parallel" in name else "layer"


def parameters(model: Any) -> dict[str, Any]:
    """Return the parameters by name."""
    return dict(model.named_parameters())


def transposed(model: Any) -> set[str]:
    """Return the parameters that lie as [in, out]."""
    layers = model.named_modules()
    return {f"{path}.weight" for path, layer in layers if backend.layout(layer) == "in, out"}


def on_layer(layer: Any, before: Callable, after: Callable) -> Callable[[], None]:
    """Call before(inputs) and after(outputs) around each call of a layer; return what ends that.

    What `after` returns takes the place of the outputs, unless it is None.
    """
    entering = layer.register_forward_pre_hook(lambda layer, inputs: before(inputs))
    leaving = layer.register_forward_hook(lambda layer, inputs, outputs: after(outputs))
    return lambda: (entering.remove(), leaving.remove())


def before_each(cls: type, name: str, before: Callable[[Any], None]) -> Callable[[], None]:
    """Call before(self) at the start of each call of a method; return what ends that."""
    original = getattr(cls, name)

    def method(self, *arguments, **options):
        before(self)
        return original(self, *arguments, **options)

    setattr(cls, name, method)
    return partial(setattr, cls, name, original)


# ---- the framework's own classes and functions, exchanged within ----


@contextmanager
def noting_made(note: Callable[[Any], None]) -> Iterator[None]:
    """Within, call note(object) at the start of __init__ of layers, optimizers and schedules."""
    with ExitStack() as stack:
        for cls in (backend.Module, backend.Optimizer, backend.Schedule):
            stack.callback(before_each(cls, "__init__", note))
        yield


@contextmanager
def replaced_everywhere(pairs: list[tuple[Callable, Callable]]) -> Iterator[None]:
    """Within, every module has the new functions of `pairs`, (old, new), under whatever name."""
    _replace({id(old): new for old, new in pairs})
    try:
        yield
    finally:
        _replace({id(new): old for old, new in pairs})


def _replace(functions: dict[int, Callable]) -> None:
    for module in list(sys.modules.values()):
        for name, attribute in list(getattr(module, "__dict__", {}).items()):
            if id(attribute) in functions:
                setattr(module, name, functions[id(attribute)])


def shared_dropout(
    mask: Callable[[list[int], float], Any], note: Callable[[dict], None]
) -> AbstractContextManager[None]:
    """Within, every dropout keeps what mask(shape, p) says; note(call) is told of each."""
    return replaced_everywhere([(backend.nn.functional.dropout, backend.dropout_by(mask, note))])


@contextmanager
def noted_functions(note: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Call `note` about each call of one of SETTLED, but not by another; tensors as shapes."""
    depth = 0

    def plain(argument: Any) -> Any:
        is_tensor = isinstance(argument, backend.Tensor)
        return {"shape": list(argument.shape)} if is_tensor else argument

    def noting(name: str, original: Callable) -> Callable:
        @wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal depth
            if not depth:
                positional = [plain(argument) for argument in arguments[1:]]
                named = {key: plain(option) for key, option in options.items()}
                note({"function": name, "given": positional, "options": named})
            depth += 1
            try:
                return original(*arguments, **options)
            finally:
                depth -= 1

        return call

    originals = [(name, getattr(backend.nn.functional, name)) for name in SETTLED]
    with replaced_everywhere([(old, noting(name, old)) for name, old in originals]):
        yield
