"""A network seen from outside: its layers, its weights, and what each layer gives, in order."""

import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from common import draws, state
from common.errors import UserError

CONTAINERS = (nn.Sequential, nn.LayerList, nn.LayerDict, nn.ParameterList, nn.ParameterDict)
TREE = Path(__file__).resolve().parent
FUNCTIONS = (  # of F, whose settings decide what they give; layers call them too
    *("conv1d", "conv2d", "conv3d", "linear", "local_response_norm"),
    *("batch_norm", "instance_norm", "layer_norm", "group_norm"),
    *(f"{kind}_pool{n}d" for kind in ("avg", "max", "adaptive_avg", "adaptive_max") for n in "123"),
)
FRAMEWORK = tuple(  # folders of the framework's own code, its library of models not among them
    str(Path(paddle.__file__).parent / part) + "/"
    for part in ("nn", "base", "utils", "jit", "tensor")
)


def make(name: str, arguments: dict[str, Any]) -> nn.Layer:
    """Call MODULE:CALLABLE or FILE.py:CALLABLE, a class or a function, and return its network.

    The module is looked for in the current folder first, before this tree's own modules of the
    same name. Raises UserError where it cannot be had.
    """
    where, _, callable_name = name.rpartition(":")
    path, hidden = list(sys.path), {}
    for module_name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and TREE in Path(file).resolve().parents and module_name != "__main__":
            hidden[module_name] = sys.modules.pop(module_name)
    sys.path[:] = ["", *(entry for entry in path if Path(entry or ".").resolve() != TREE)]
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(where).stem, where)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        network = getattr(module, callable_name)(**arguments)
    except Exception as error:  # whatever the user's code raises
        raise UserError(
            f"{name}: no network ({told(error)}); give MODULE:CALLABLE or "
            "FILE.py:CALLABLE, which is called with the model's arguments"
        ) from error
    finally:
        sys.path[:] = path
        sys.modules.update(hidden)
    if not isinstance(network, nn.Layer):
        raise UserError(f"{name} returns a {type(network).__name__}, not an nn.Layer")
    return network


def kind(layer: nn.Layer) -> str:
    """Return the name of the framework's class that `layer` is or derives from; else its own."""
    for cls in type(layer).__mro__:
        if cls.__module__.startswith("paddle.nn.layer") and cls is not nn.Layer:
            return cls.__name__
    return type(layer).__name__


def layout(layer: nn.Layer | None) -> str | None:
    """Return how a fully connected layer keeps its weight; a square one does not show it."""
    if isinstance(layer, paddle.compat.nn.Linear):  # keeps torch's ways
        return "out, in"
    return "in, out" if isinstance(layer, nn.Linear) else None


def leaves(model: nn.Layer) -> dict[str, nn.Layer]:
    """Return the layers that compute something themselves, by their path in the model.

    These have no layers in them, or are the framework's own (an attention layer, say).
    """
    found = {}
    for path, layer in model.named_sublayers(include_self=True):
        own = type(layer).__module__.startswith("paddle.nn.layer")
        if not any(layer.children()) or (own and type(layer) not in CONTAINERS):
            found[path] = layer
    return found


def describe(model: nn.Layer) -> dict[str, Any]:
    """Return every tensor of the state dict and every layer, ready for JSON.

    Shapes are the framework's own. `tied` names the first key that is the same tensor.
    """
    layers = dict(model.named_sublayers(include_self=True, remove_duplicate=False))
    buffers = {name for name, _ in model.named_buffers()}
    first_keys, keys = {}, []
    for key, value in model.state_dict().items():
        if not isinstance(value, paddle.Tensor):
            continue  # what a layer of the user's own adds to the state dict
        path, _, role = key.rpartition(".")
        first = first_keys.setdefault(id(value), key)
        keys.append(
            {
                "key": key,
                "layer": path,
                "role": role,
                "kind": kind(layers[path]) if path in layers else "",
                "layout": layout(layers.get(path)),
                "shape": list(value.shape),
                "parameter": key not in buffers,
                "tied": None if first == key else first,
            }
        )
    found = [
        {"layer": path, "kind": kind(layer), "settings": settings(layer)}
        for path, layer in leaves(model).items()
    ]
    return {"keys": keys, "layers": found}


def settings(layer: nn.Layer) -> dict[str, Any]:
    """Return the plain attributes of a layer: kernel_size, stride, eps, training and the like."""
    return {
        name.lstrip("_"): list(value) if isinstance(value, tuple) else value
        for name, value in vars(layer).items()
        if isinstance(value, (bool, int, float, str, tuple, list, type(None)))
    }


def is_foreign(file: str) -> bool:
    """Say whether code is the framework's, this tool's or made on the way: not the user's."""
    tool = Path(file).name in ("layers.py", "probe.py") and Path(file).parent == TREE
    return tool or file.startswith((*FRAMEWORK, "<"))


def user_line(layer: nn.Layer | None = None) -> str | None:
    """Return FILE:LINE of the innermost caller that is neither the framework nor this tool.

    Where `layer` is being made, its own __init__ does not count either.
    """
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        own = layer is not None and frame.f_locals.get("self") is layer
        if not (own or is_foreign(file)):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def told(error: Exception) -> str:
    """Return the kind of an error, its first line, and the user's FILE:LINE where it arose."""
    lines = [
        f" ({place.filename}:{place.lineno})"
        for place in traceback.extract_tb(error.__traceback__)
        if not is_foreign(place.filename)
    ]
    return f"{type(error).__name__}: {state.first_line(error)}" + "".join(lines[-1:])


@contextmanager
def origins() -> Iterator[dict[int, str | None]]:
    """Give a dict that comes to say, by id, on which line each layer made within was made."""
    lines = {}
    original = nn.Layer.__init__

    def noting(self, *arguments, **options):
        lines[id(self)] = user_line(self)
        original(self, *arguments, **options)

    nn.Layer.__init__ = noting
    try:
        yield lines
    finally:
        nn.Layer.__init__ = original


@contextmanager
def hooks(
    model: nn.Layer, before: Callable[..., None], after: Callable[..., Any]
) -> Iterator[None]:
    """Call before(path, layer, inputs) and after(path, layer, outputs) around each layer's call.

    What `after` returns takes the place of the outputs, unless it is None.
    """
    handles = []
    for path, layer in leaves(model).items():

        def on_start(layer, inputs, path=path):
            before(path, layer, inputs)

        def on_end(layer, inputs, outputs, path=path):
            return after(path, layer, outputs)

        handles.append(layer.register_forward_pre_hook(on_start))
        handles.append(layer.register_forward_post_hook(on_end))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def tensors(value: Any) -> list[paddle.Tensor]:
    """Return the tensors of a nested tuple, list or dict, in order."""
    if isinstance(value, paddle.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in tensors(item)]
    return []


def exchange(value: Any, given: Iterator[paddle.Tensor]) -> Any:
    """Return `value` with each of its tensors exchanged for the next one of `given`."""
    if isinstance(value, paddle.Tensor):
        return next(given, value)
    if isinstance(value, dict):
        return {key: exchange(item, given) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [exchange(item, given) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


@dataclass
class Masks:
    """Which masks the next dropouts take: a step's, from the first dropout of it on."""

    seed: int
    step: int = 0
    first: int = 0  # samples of the step that are another process's
    active: int = 0  # dropouts of the step that have dropped

    def begin(self, step: int, first: int) -> None:
        self.step, self.first, self.active = step, first, 0


@contextmanager
def shared_dropout(masks: Masks, note: Callable[[dict], None]) -> Iterator[None]:
    """Let every dropout within take its mask from common.draws; call `note` about each.

    Masks are keyed by seed, step, how many dropouts have dropped before, and the sample, so two
    frameworks drop the same units, and so do two processes.
    https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/Dropout_en.html
    """
    original = F.dropout

    def dropout(
        x, p=0.5, axis=None, training=True, inplace=False, mode="upscale_in_train", name=None
    ):
        note({"p": p, "training": training, "mode": mode, "line": user_line()})
        upscale = mode == "upscale_in_train"
        if not training or not p:
            return x if upscale or training else x * (1 - p)
        axes = range(x.ndim) if axis is None else np.atleast_1d(axis).tolist()
        shape = [size if n in axes else 1 for n, size in enumerate(x.shape)]
        keep = draws.dropout_mask(masks.seed, masks.step, masks.active, shape, p, masks.first)
        masks.active += 1
        return x * (paddle.to_tensor(keep).astype(x.dtype) / (max(1 - p, 1e-300) if upscale else 1))

    replace_everywhere([(original, dropout)])
    try:
        yield
    finally:
        replace_everywhere([(dropout, original)])


@contextmanager
def noted_functions(note: Callable[[dict], None]) -> Iterator[None]:
    """Call `note` about each call of one of FUNCTIONS, but not by another; tensors as shapes."""
    depth = 0

    def plain(value: Any) -> Any:
        return {"shape": list(value.shape)} if isinstance(value, paddle.Tensor) else value

    def noting(name: str, original: Callable) -> Callable:
        @functools.wraps(original)
        def call(*arguments, **options):
            nonlocal depth
            if not depth:
                given = [plain(value) for value in arguments[1:]]
                named = {key: plain(value) for key, value in options.items()}
                note({"function": name, "given": given, "options": named, "line": user_line()})
            depth += 1
            try:
                return original(*arguments, **options)
            finally:
                depth -= 1

        return call

    pairs = [(getattr(F, name), noting(name, getattr(F, name))) for name in FUNCTIONS]
    replace_everywhere(pairs)
    try:
        yield
    finally:
        replace_everywhere([(new, old) for old, new in pairs])


def replace_everywhere(pairs: list[tuple[Callable, Callable]]) -> None:
    """Exchange functions, old for new, in every module that has them under whatever name."""
    exchanged = {id(old): new for old, new in pairs}
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in exchanged:
                setattr(module, name, exchanged[id(value)])


def load_by_name(model: nn.Layer, weights: dict[str, paddle.Tensor]) -> None:
    """Load the weights whose names and shapes are the model's; the rest stays as it was.

    So do whole numbers, such as places in a table, for which others would be drawn.
    """
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own
        and list(own[name].shape) == list(value.shape)
        and own[name].is_floating_point() == value.is_floating_point()
    }
    model.set_state_dict(fitting)


def digests(model: nn.Layer) -> dict[str, str]:
    """Return the SHA-256 of each tensor's bytes, in the framework's own layout."""
    return state.digests({name: value.numpy() for name, value in model.state_dict().items()})


def record(
    model: nn.Layer,
    inputs: paddle.Tensor,
    folder: Path | None,
    with_inputs: bool = False,
    forced: dict[str, list[str]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Run the model and write what each layer gives into `folder`, each tensor a .npy file.

    Where `folder` is None, nothing is written: the calls alone are of interest. Dropout takes its
    masks from `seed`. `forced` names files by the number of a call: after what the call gave has
    been written, these take its place, so that every layer works on the same numbers whatever came
    before it.

    Returns the calls in order, each with its layer, mode, line and files; the dropouts, each with
    the number of calls before it and the layer that did it; the FUNCTIONS that no layer called;
    the model's own outputs; and the error that stopped it, if one did, and the layer it stopped in.
    """
    if folder:
        folder.mkdir(parents=True)
    calls, started, dropouts, functions, written = [], [], [], [], 0

    def write(value: Any) -> list[str]:
        nonlocal written
        files = []
        for tensor in tensors(value) if folder else []:
            files.append(f"{folder.name}/{written:05d}.npy")
            np.save(folder.parent / files[-1], tensor.numpy())
            written += 1
        return files

    def before(path: str, layer: nn.Layer, values: Any) -> None:
        started.append((user_line(), write(values) if with_inputs else [], path))

    def after(path: str, layer: nn.Layer, values: Any) -> Any:
        line, given, _ = started.pop()
        call = {"layer": path, "kind": kind(layer), "training": layer.training, "line": line}
        files = (forced or {}).get(str(len(calls)))
        calls.append({**call, "inputs": given, "outputs": write(values)})
        if files is None:
            return None
        return exchange(values, iter([paddle.to_tensor(np.load(file)) for file in files]))

    def note(dropout: dict) -> None:
        layer = started[-1][2] if started else None
        dropouts.append({"calls": len(calls), "layer": layer, **dropout})

    def note_function(function: dict) -> None:
        if not started:
            functions.append({"calls": len(calls), **function})

    error, stopped, outputs = None, None, []
    with (
        paddle.no_grad(),
        hooks(model, before, after),
        shared_dropout(Masks(seed), note),
        noted_functions(note_function),
    ):
        try:
            outputs = write(model(inputs))
        except Exception as raised:  # whatever the network raises is a finding
            error = told(raised)
            stopped = {"layer": started[-1][2], "inputs": started[-1][1]} if started else None
    return {
        "calls": calls,
        "dropouts": dropouts,
        "functions": functions,
        "outputs": outputs,
        "error": error,
        "stopped": stopped,
    }
