"""Checks of weights before they are loaded; framework-free."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from portproof.files import pickles
from portproof.system.errors import UserError, first_line

ENTRIES = ("model", "state_dict", "model_state_dict")  # under which checkpoints keep their weights

# A magic number, a version, the machine, the contents, the names of the storages.
LEGACY_PICKLES = 5

KINDS = {".pth": "PyTorch", ".pt": "PyTorch", ".pdparams": "PaddlePaddle"}


def check_suffix(path: Path, own: str) -> None:
    """Raise UserError where the ending of `path` is not that of this framework's files."""
    kind = KINDS.get(path.suffix)
    if kind != KINDS[own]:
        what = f"weights of {kind}" if kind else "no weights by its ending"
        raise UserError(f"{path}: {what}; {KINDS[own]} loads {own} and .safetensors files")


def read_neutral(path: Path, load_file: Callable[[Path], dict]) -> dict:
    """Return the arrays of a .safetensors file (torch's layout). Raises UserError on a bad file."""
    try:
        return load_file(path)
    except Exception as error:  # the reader has error types of its own
        raise UserError(
            f"{path}: cannot be loaded as safetensors ({first_line(error)}); make the file anew"
        ) from error


def is_plain_zip(path: Path) -> bool:
    """Say whether a file is a zip that holds its contents as they are, such as torch's.

    Raises UserError where one of them is damaged, which torch.load does not look for.
    """
    try:
        with zipfile.ZipFile(path) as file:
            records = file.infolist()
            summed = any(record.CRC for record in records)  # torch can be told to leave sums out
            damaged = file.testzip() if summed else None
    except Exception:  # an old file, or no zip that Python reads: torch.load says what it is
        return False
    if damaged is not None:
        raise UserError(f"{path}: {damaged} in it is damaged; copy or make the file anew")
    return all(record.compress_type == zipfile.ZIP_STORED for record in records)


def check_torch_file(path: Path) -> None:
    """Raise UserError, or what a damaged file raises, where torch.load had better not be asked.

    A small file can have it make far more than the file holds, or end the process.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":  # from before torch 1.6: pickles, one after the other
            file.seek(0)
            pickles.walk(file, size, LEGACY_PICKLES)
            return
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
            if packed or sum(record.file_size for record in records) > size:
                raise UserError("a zip that holds more than its own size, which torch never writes")
            for record in records:
                if record.filename.endswith("data.pkl"):
                    pickles.walk(io.BytesIO(archive.read(record)), record.file_size)


def model_entry(path: Path, contents: Any) -> dict:
    """Return the weights of a file: those that a training's checkpoint was evaluated with,
    or all.

    Where a run keeps a moving average of the weights, that is what was evaluated. Other projects'
    checkpoints are read too, where their weights have one of the usual names.
    """
    entries = [name for name in ENTRIES if isinstance(contents, dict) and name in contents]
    weights = contents[entries[0]] if entries else contents
    if not isinstance(weights, dict):
        raise UserError(f"{path}: holds no weights by name; give a state dict or a checkpoint")
    average = contents.get("ema") if "model" in contents else None
    return weights | average if isinstance(average, dict) else weights


def only_tensors(path: Path, weights: dict, kind: type) -> dict:
    """Return `weights` if all are tensors. Raises UserError, which names one that is none."""
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, kind):
            raise UserError(f"{path}: {name} is no tensor; give a state dict or a checkpoint")
    return weights


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Turn what a framework raises on tensors of an odd kind, such as sparse, into a UserError."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"{path}: its tensors cannot be put into the model ({first_line(error)}); make the "
            "file anew"
        ) from error


def transposed(matrix: np.ndarray) -> np.ndarray:
    """Return a transposed copy, [M, N] -> [N, M]; some rows at a time, which is four times as fast.

    Else each number is written to a line of the processor's cache that has long been replaced.
    """
    found = np.empty(matrix.shape[::-1], matrix.dtype)
    for row in range(0, len(matrix), 16):
        found[:, row : row + 16] = matrix[row : row + 16].T
    return found


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def digests(weights: dict[str, np.ndarray]) -> dict[str, str]:
    """Return the SHA-256 of the bytes of each array."""
    return {name: digest(array) for name, array in weights.items()}
