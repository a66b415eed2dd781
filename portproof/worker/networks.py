"""What is asked of a network and its weights: a function for each part of a request."""

from pathlib import Path
from typing import Any

import numpy as np

from portproof.backends import backend, shared
from portproof.files import state
from portproof.system.atomic import writing
from portproof.system.errors import UserError
from portproof.weights import tensors
from portproof.worker import drive, forward
from portproof.worker.job import Job
from portproof.worker.source import Report, Stack, describe_error, lines_noted, user_line


def record_read(job: Job, path: str) -> Report:
    """Write a weights file of this framework as read.safetensors, every bit as it is."""
    weights = backend.read_weights(Path(path))
    file = job.folder / "read.safetensors"
    with writing(file):
        tensors.write(file, {name: backend.to_bits(weights[name]) for name in weights})
    return {}


def record_write(job: Job, source: str, path: str) -> Report:
    """Write a .safetensors as a file of this framework, and read that back."""
    with writing(Path(path)):
        backend.write_weights(Path(path), tensors.read_own(Path(source)))
    return record_read(job, path)


def record_describe(
    job: Job,
    input_shape: list[int] | None = None,
    dtype: str = "float32",
    named_as: tuple[str, ...] = (),
    fitted_to: str | None = None,
) -> Report:
    """Describe the network's tensors and layers.

    It is run too where `input_shape` is given and its layers have other names than `named_as`. The
    port's network is the one that fits the .safetensors file `fitted_to`.
    """
    fitted = {"fitted_to": fitted_to} if fitted_to else {}
    try:
        with backend.without_values():  # the shapes are enough
            network = job.make_network(**fitted)
    except Exception:  # it works with its values as it is made
        network = job.make_network(**fitted)
    report = forward.describe(network)
    names = {key["layer"] for key in report["keys"] if not key["tied"]}
    if not input_shape or names == set(named_as):
        return report
    inputs, run = backend.to_tensor(np.zeros(input_shape, dtype)), {"error": "not run"}
    if backend.CAN_RUN_EMPTY:
        with backend.without_values():
            empty = backend.framework.zeros(inputs.shape, dtype=inputs.dtype)
            run = run_once(network, empty)
    if run["error"]:  # its way depends on values
        run = run_once(job.make_network(**fitted), inputs)
    return report | {"order": [call["layer"] for call in run["calls"]], "error": run["error"]}


def run_once(network: Any, inputs: Any) -> Report:
    """Run a network in evaluation mode; return its calls, of which nothing is written."""
    network.eval()
    return forward.PassRecorder(forward.Pass()).run(network, inputs)


def record_forward(
    job: Job, weights: str, by_port: bool, passes: list[dict], seed: int = 0
) -> Report:
    """Note what each layer gives, in passes that have a name, an input, a dtype and a mode.

    The weights are loaded as the port does it, or what fits by its name.
    """
    lines: dict[int, str | None] = {}  # on which each layer is made, by its id

    def note(made: Any) -> None:
        lines[id(made)] = user_line(made)

    with shared.noting_made(note):
        network = job.make_network()
    ran: Stack = []
    with lines_noted(ran):
        error = load_weights(job, network, Path(weights), by_port)
    held = shared.state(network).items()
    arrays = {key: backend.to_numpy(tensor) for key, tensor in held}
    layers = forward.leaves(network).items()
    report = {"load_error": error, "loading": ran, "loaded": state.digests(arrays)}
    report |= {"lines": {path: lines.get(id(layer)) for path, layer in layers}, "runs": []}
    report |= {"version": backend.VERSION, **forward.describe(network)}
    for plan in [forward.Pass(**entries) for entries in passes] if error is None else []:
        backend.cast(network, plan.dtype)
        if plan.training:
            network.train()
        else:
            network.eval()
        with shared.default_dtype(plan.dtype):  # of what the network makes as it runs
            array = np.load(plan.input)
            if array.dtype.kind == "f":  # whole numbers, such as words, stay what they are
                array = array.astype(plan.dtype)
            recorder = forward.PassRecorder(plan, job.folder, seed)
            run = recorder.run(network, backend.to_tensor(array))
        report["runs"].append({"name": plan.name, **run})
    return report


def load_weights(job: Job, network: Any, path: Path, by_port: bool) -> str | None:
    """Load weights as the port does, or what fits by its name; return what went wrong."""
    if not by_port:
        forward.load_by_name(network, path)
        return None
    try:
        drive.load_weights(job.port, network, str(path))
    except UserError as error:  # that the port cannot load them is a finding
        return str(error)
    except Exception as error:
        return describe_error(error)
    return None
