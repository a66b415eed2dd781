"""Weights files of either framework, read and written: torch's by a worker, the others here."""

import os
from pathlib import Path

import numpy as np

from portproof.files import pickles, state
from portproof.system.errors import UserError
from portproof.system.frameworks import NAMES
from portproof.weights import tensors
from portproof.weights.carry import check_space, check_written
from portproof.weights.tensors import Tensors, WeightsFile
from portproof.worker.client import Sides

FRAMEWORK = {".pth": "torch", ".pt": "torch", ".pdparams": "paddle", ".safetensors": "neutral"}


def names_of(path: Path) -> str:
    """Return the framework whose names and layout a file has."""
    return FRAMEWORK.get(path.suffix, "").replace("neutral", "torch")


def read(path: Path, sides: Sides, folder: Path) -> WeightsFile:
    """Return a weights file, its tensors mapped from the disk. Raises UserError on a bad file.

    What is no .safetensors is written as one into `folder`, which is made.
    """
    kind = FRAMEWORK[path.suffix]
    if kind == "neutral":
        return WeightsFile(path, path, tensors.read(path))
    staged = folder / "read.safetensors"
    if kind == "torch":
        sides["torch"].ask(folder, read={"path": str(path.resolve())})
    else:
        arrays = state.only_tensors(path, state.model_entry(path, pickles.read(path)), np.ndarray)
        folder.mkdir(parents=True)
        weights = {}
        for name, array in arrays.items():
            try:
                weights[name] = tensors.from_array(array)
            except UserError as error:
                raise UserError(f"{path}: {name}: {error}") from error
        tensors.write(staged, weights)
    return WeightsFile(path, staged, tensors.read(staged, path))


def read_named(
    sides: Sides,
    folder: Path,
    weights: Path | None,
    own_weights: dict[str, Path] | None = None,
) -> dict[str, WeightsFile]:
    """Return weights files by the framework of their names. Raises UserError on a bad one."""
    wanted = {names_of(weights): weights} if weights else own_weights or {}
    files = {}
    for framework, path in wanted.items():
        if path.suffix not in FRAMEWORK:
            endings = ", ".join(FRAMEWORK)
            raise UserError(f"{path}: the ending says nothing; weights end with {endings}")
        if not path.is_file():
            raise UserError(f"{path}: no such file; give the file that holds the weights")
        if own_weights and FRAMEWORK[path.suffix] not in (framework, "neutral"):
            raise UserError(f"--{framework}-weights {path}: not a file of {NAMES[framework]}")
        folder.mkdir(parents=True, exist_ok=True)
        files[framework] = read(path, sides, folder / framework)
    return files


def write(target: Path, weights: Tensors, sides: Sides, folder: Path) -> None:
    """Write the target atomically: it takes its name once every bit was read back.

    `folder`, which is made, lies on its disk. Raises UserError or OSError where that is full, and
    UserError where the file does not hold what was given.
    """
    kind = FRAMEWORK[target.suffix]
    # torch is given a file, and gives back what it reads
    check_space(weights, folder.parent, copies=3 if kind == "torch" else 1)
    folder.mkdir()
    made = folder / target.name
    check_written(target, weights, _write_and_read(made, weights, sides, folder))
    with open(made, "rb") as file:
        os.fsync(file.fileno())
    os.replace(made, target)


def _write_and_read(file: Path, weights: Tensors, sides: Sides, folder: Path) -> Tensors:
    """Write a file; return what it holds."""
    kind = FRAMEWORK[file.suffix]
    if kind == "neutral":
        tensors.write(file, weights)
        return tensors.read(file)
    if kind == "paddle":
        pickles.write(file, {name: tensor.array for name, tensor in weights.items()})
        return {name: tensors.from_array(array) for name, array in pickles.read(file).items()}
    tensors.write(folder / "result.safetensors", weights)
    request = {"source": str(folder / "result.safetensors"), "path": str(file)}
    sides[kind].ask(folder / "torch", write=request)
    return tensors.read(folder / "torch" / "read.safetensors")
