"""A network seen from outside: its layers, its weights, and what each layer gives, in order."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from common.errors import UserError

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def make(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Call MODULE:CALLABLE or FILE.py:CALLABLE, a class or a function, and return its network.

    The module is looked for in the current folder first, before this tree's own modules of the
    same name. Raises UserError where it cannot be had.
    """
    where, _, callable_name = name.rpartition(":")
    own_folder = Path(__file__).resolve().parent
    for module_name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and own_folder in Path(file).resolve().parents and module_name != "__main__":
            del sys.modules[module_name]
    sys.path[:] = ["", *(path for path in sys.path if Path(path or ".").resolve() != own_folder)]
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
            f"{name}: no network ({type(error).__name__}: {error}); give MODULE:CALLABLE or "
            "FILE.py:CALLABLE, which is called with the model's arguments"
        ) from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{name} returns a {type(network).__name__}, not an nn.Module")
    return network


def kind(layer: nn.Module) -> str:
    """Return the name of the framework's class that `layer` is or derives from; else its own."""
    for cls in type(layer).__mro__:
        if cls.__module__.startswith("torch.nn.modules") and cls is not nn.Module:
            return cls.__name__
    return type(layer).__name__


def leaves(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that compute something themselves, by their path in the model.

    These have no layers in them, or are the framework's own (an attention layer, say).
    """
    found = {}
    for path, layer in model.named_modules():
        own = type(layer).__module__.startswith("torch.nn.modules")
        if not any(layer.children()) or (own and not isinstance(layer, CONTAINERS)):
            found[path] = layer
    return found


def describe(model: nn.Module) -> dict[str, Any]:
    """Return every tensor of the state dict and every layer, ready for JSON.

    Shapes are the framework's own. `tied` names the first key that is the same tensor.
    """
    layers = dict(model.named_modules())
    buffers = {name for name, _ in model.named_buffers()}
    first_keys, keys = {}, []
    for key, value in model.state_dict(keep_vars=True).items():
        path, _, role = key.rpartition(".")
        first = first_keys.setdefault(id(value), key)
        keys.append(
            {
                "key": key,
                "layer": path,
                "role": role,
                "kind": kind(layers[path]) if path in layers else "",
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


def settings(layer: nn.Module) -> dict[str, Any]:
    """Return the plain attributes of a layer: kernel_size, stride, eps, training and the like."""
    return {
        name.lstrip("_"): list(value) if isinstance(value, tuple) else value
        for name, value in vars(layer).items()
        if isinstance(value, (bool, int, float, str, tuple, list, type(None)))
    }


@contextmanager
def hooks(
    model: nn.Module, before: Callable[..., None], after: Callable[..., None]
) -> Iterator[None]:
    """Call before(path, layer, inputs) and after(path, layer, outputs) around each layer's call."""
    handles = []
    for path, layer in leaves(model).items():

        def on_start(layer, inputs, path=path):
            before(path, layer, tensors(inputs))

        def on_end(layer, inputs, outputs, path=path):
            after(path, layer, tensors(outputs))

        handles.append(layer.register_forward_pre_hook(on_start))
        handles.append(layer.register_forward_hook(on_end))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def tensors(value: Any) -> list[torch.Tensor]:
    """Return the tensors of a nested tuple, list or dict, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in tensors(item)]
    return []


def record(
    model: nn.Module, inputs: torch.Tensor, folder: Path | None, inputs_of: list[str]
) -> dict[str, Any]:
    """Run the model and write what each layer gives into `folder`, each tensor a .npy file.

    Where `folder` is None, nothing is written: the calls alone are of interest.

    Returns the calls in order, each with its layer, mode and files; also the input tensors of the
    layers named in `inputs_of`; the model's own outputs; and the error that stopped it, if one did.
    """
    if folder:
        folder.mkdir(parents=True)
    calls, given, written = [], {}, 0

    def write(values: list[torch.Tensor]) -> list[str]:
        nonlocal written
        files = []
        for value in values if folder else []:
            files.append(f"{folder.name}/{written:05d}.npy")
            np.save(folder.parent / files[-1], value.detach().cpu().numpy())
            written += 1
        return files

    def before(path: str, layer: nn.Module, values: list[torch.Tensor]) -> None:
        if path in inputs_of:
            given[path] = write(values)

    def after(path: str, layer: nn.Module, values: list[torch.Tensor]) -> None:
        call = {"layer": path, "kind": kind(layer), "training": layer.training}
        calls.append({**call, "inputs": given.pop(path, []), "outputs": write(values)})

    error, outputs = None, []
    with torch.no_grad(), hooks(model, before, after):
        try:
            outputs = write(tensors(model(inputs)))
        except Exception as raised:  # whatever the network raises is a finding
            error = f"{type(raised).__name__}: {str(raised).strip().splitlines()[0]}"
    return {"calls": calls, "outputs": outputs, "error": error}
