"""Have both networks run on the same weights and inputs, and note what each layer gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from portproof.core.comparison import Comparison
from portproof.core.findings import Report
from portproof.core.tensor_compare import DTYPES
from portproof.networks import layer_types
from portproof.weights import tensors
from portproof.weights.initial import native
from portproof.worker.client import ask_both

TRAINING = "training mode"


def save_inputs(folder: Path, arrays: dict[str, np.ndarray]) -> list[Report]:
    """Write the inputs; return the passes to run: every input in evaluation mode, one in training.

    Training comes last, since it moves the running statistics of normalization layers.
    """
    inputs = []
    for number, (name, array) in enumerate(arrays.items()):
        file = (folder / f"input-{number}.npy").resolve()
        np.save(file, array)
        inputs.append((name, str(file), False))
    inputs.append((TRAINING, inputs[0][1], True))
    return [
        {"name": pass_name(name, dtype), "input": file, "dtype": dtype, "training": training}
        for name, file, training in inputs
        for dtype in DTYPES
    ]


def pass_name(name: str, dtype: str) -> str:
    """Return the name of the pass of one input in one dtype."""
    return f"{name} {dtype}".replace(" ", "-")


def run(comparison: Comparison, folder: Path, passes: dict[str, list[dict]]) -> Comparison:
    """Run forward passes, both sides at the same time; return the comparison with the reports."""
    requests = []
    folder.mkdir()
    for framework, passes_of_side in passes.items():
        by_port = comparison.by_port and comparison.sides[framework].model is None
        weights = comparison.held[framework]
        if not by_port:
            weights = native(comparison.networks[framework], weights)
        file = folder / f"{framework}.safetensors"
        tensors.write(file, {name: tensors.from_array(array) for name, array in weights.items()})
        request = {"weights": str(file.resolve()), "by_port": by_port, "seed": comparison.seed}
        requests.append({"forward": request | {"passes": passes_of_side}})
    answers = ask_both([comparison.sides[name] for name in passes], folder, requests)
    reports = {name: answer["forward"] for name, answer in zip(passes, answers, strict=True)}
    folders = comparison.folders | {name: folder / name for name in passes}
    return replace(comparison, reports=comparison.reports | reports, folders=folders)


def run_forced(comparison: Comparison, folder: Path, one_pass: Report) -> Comparison:
    """Run one pass again, the Paddle side with each layer's output replaced by PyTorch's.

    So each layer, and all between two layers, works on PyTorch's numbers and is judged by itself.
    """
    name = one_pass["name"]
    folder.mkdir()
    with_inputs = {**one_pass, "with_inputs": True}
    again = run(comparison, folder / "torch", {"torch": [with_inputs]})
    torch, paddle = again.run("torch", name)["calls"], comparison.run("paddle", name)["calls"]
    both = [(i, j) for i, j in comparison.pairs(name) if None not in (i, j) and i < len(torch)]
    forced = {str(j): _forced_files(again, torch[i], paddle[j]) for i, j in both}
    return run(again, folder / "paddle", {"paddle": [{**with_inputs, "forced": forced}]})


def _forced_files(again: Comparison, torch: dict, paddle: dict) -> list[str]:
    """Return files with PyTorch's outputs, for layers without axes in Paddle's shape."""
    files = [(again.folders["torch"] / file).resolve() for file in torch["outputs"]]
    if layer_types.canonical_kind("torch", torch["kind"]) in layer_types.AXIS_FREE:
        for n, output in enumerate(paddle["outputs"][: len(files)]):
            shape = np.load(again.folders["paddle"] / output, mmap_mode="r").shape
            array = np.load(files[n])
            if array.shape != shape and array.size == np.prod(shape):
                files[n] = files[n].with_suffix(".shaped.npy")
                np.save(files[n], array.reshape(shape))
    return [str(file) for file in files]
