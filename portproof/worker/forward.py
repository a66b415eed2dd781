"""A network seen from outside: its layers, its weights, and what each layer gives, in order."""

import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from portproof.backends import backend, shared
from portproof.numeric import philox
from portproof.port import Settings
from portproof.weights import tensors
from portproof.worker.source import Report, describe_error, is_users, user_line


def leaves(model: Any) -> dict[str, Any]:
    """Return by path the layers that have no layers in them, or are the framework's own."""
    return {
        path: layer
        for path, layer in model.named_modules()
        if not any(layer.children())
        or (shared.is_frameworks(type(layer)) and type(layer) not in backend.CONTAINERS)
    }


def describe(model: Any) -> Report:
    """Return every tensor of the state dict and every layer, ready for JSON.

    Shapes are the framework's own. `tied` names the first key that is the same tensor. `files` are
    those of the user's own classes of layers, that of the whole model first.
    """
    layers = dict(model.named_modules(remove_duplicate=False))  # a shared one by all its paths
    kinds = {path: shared.kind(layer) for path, layer in layers.items()}
    first_keys, keys = {}, []
    for key, tensor in shared.state(model).items():
        path, _, role = key.rpartition(".")
        first = first_keys.setdefault(id(tensor), key)
        entry = {"key": key, "layer": path, "role": role, "kind": kinds.get(path, "")}
        entry |= {"layout": backend.layout(layers.get(path)), "shape": list(tensor.shape)}
        keys.append(entry | {"tied": None if first == key else first})
    rows = [
        {"layer": path, "kind": kinds[path], "settings": settings(layer)}
        for path, layer in leaves(model).items()
    ]
    modules = [sys.modules.get(type(layer).__module__) for layer in layers.values()]
    files = dict.fromkeys(getattr(module, "__file__", None) for module in modules)
    users = [file for file in files if file and is_users(file)]
    return {"keys": keys, "layers": rows, "files": users}


def settings(layer: Any) -> Settings:
    """Return the plain attributes of a layer: kernel_size, stride, eps, training and the like."""
    plain = (int, float, str, tuple, list, type(None))
    attributes = vars(layer).items()
    return {name.lstrip("_"): entry for name, entry in attributes if isinstance(entry, plain)}


def load_by_name(model: Any, path: Path, turned: Collection[str] = ()) -> None:
    """Load the weights of a .safetensors whose names and shapes are the model's; the rest stays.

    So do whole numbers, for which others would be drawn. `turned`: the names of those that the
    model keeps as [in, out], and the file as [out, in].
    """
    kept, fitting = shared.state(model), {}
    for name, tensor in tensors.read_own(path).items():
        array = tensor.array.T if name in turned else tensor.array
        fits = name in kept and list(kept[name].shape) == list(array.shape)
        if fits and kept[name].is_floating_point() == (array.dtype.kind == "f"):
            fitting[name] = backend.to_tensor(array)
    model.load_state_dict(fitting, strict=False)


@dataclass
class Pass:
    """One forward pass to record, as a request has it."""

    name: str = ""  # of the folder with a .npy file of each tensor; none: the calls are of interest
    input: str = ""  # a .npy file
    dtype: str = "float32"
    training: bool = False
    with_inputs: bool = False  # of each layer are written too
    # By the number of a call, files that take the place of its outputs once those are written: so
    # every layer works on the same numbers whatever came before it.
    forced: dict[str, list[str]] = field(default_factory=dict)


class PassRecorder:
    """Notes the calls of layers, dropouts and functions in one forward pass of a network."""

    def __init__(self, plan: Pass, folder: Path | None = None, seed: int = 0) -> None:
        """`folder`: in which that of the pass is made; `seed`: of the dropout masks."""
        self.plan, self.seed = plan, seed
        self.folder = folder and folder / plan.name
        self.calls: list[dict] = []
        self.started: list[tuple[str | None, list[str], str]] = []  # line, input files, path
        self.dropouts: list[dict] = []
        self.functions: list[dict] = []
        self.dropout_numbers, self.file_numbers = count(), count()

    def run(self, model: Any, inputs: Any) -> Report:
        """Run the model; return its calls, dropouts, functions, outputs, and what stopped it.

        Calls come in order, each with its layer, mode, line and files; dropouts with the number of
        calls before them and the layer that did it; functions are those that no layer called.
        """
        if self.folder:
            self.folder.mkdir(parents=True)
        report = {"calls": self.calls, "dropouts": self.dropouts, "functions": self.functions}
        report |= {"outputs": [], "error": None, "stopped": None}
        with (
            ExitStack() as hooks,
            backend.framework.no_grad(),
            shared.shared_dropout(self.mask, self.note_dropout),
            shared.noted_functions(self.note_function),
        ):
            for path, layer in leaves(model).items():
                hooks.callback(self.watch(path, layer))
            try:
                report["outputs"] = self.write(model(inputs))
            except Exception as error:  # whatever the network raises is a finding
                report["error"] = describe_error(error)
                if self.started:
                    _, files, path = self.started[-1]
                    report["stopped"] = {"layer": path, "inputs": files}
        return report

    def watch(self, path: str, layer: Any) -> Callable[[], None]:
        """Set the hooks of one layer; return what removes them."""

        def before(inputs: Any) -> None:
            files = self.write(inputs) if self.plan.with_inputs else []
            self.started.append((user_line(), files, path))

        def after(outputs: Any) -> Any:
            line, files, _ = self.started.pop()
            call = {"layer": path, "kind": shared.kind(layer), "training": layer.training}
            call |= {"line": line, "inputs": files, "outputs": self.write(outputs)}
            forced = self.plan.forced.get(str(len(self.calls)), [])
            self.calls.append(call)
            arrays = (backend.to_tensor(np.load(file)) for file in forced)
            return shared.exchange(outputs, arrays) if forced else None

        return shared.on_layer(layer, before, after)

    def write(self, nested: Any) -> list[str]:
        """Write the tensors of inputs or outputs; return the files, NAME/NUMBER.npy."""
        files = []
        for tensor in shared.tensors_of(nested) if self.folder else []:
            files.append(f"{self.plan.name}/{next(self.file_numbers):05d}.npy")
            np.save(self.folder.parent / files[-1], backend.to_numpy(tensor))
        return files

    def mask(self, shape: list[int], p: float) -> np.ndarray:
        """Return which units the next dropout keeps."""
        return philox.dropout_mask(self.seed, 0, next(self.dropout_numbers), shape, p)

    def note_dropout(self, dropout: dict) -> None:
        """Keep what a dropout was asked for, and where."""
        dropout["layer"] = self.started[-1][2] if self.started else None
        context = {"calls": len(self.calls), "line": user_line()}
        self.dropouts.append(dropout | context)

    def note_function(self, function: dict) -> None:
        """Keep what a function was asked for, if no layer called it."""
        if not self.started:
            context = {"calls": len(self.calls), "line": user_line()}
            self.functions.append(function | context)
