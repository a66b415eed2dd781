"""Checks of weights before they are loaded; framework-free."""

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from portproof.files import pickles
from portproof.system.errors import UserError, explained, show

ENTRIES = ("model", "state_dict", "model_state_dict")  # under which checkpoints keep their weights

# A magic number, a version, the machine, the contents, the names of the storages.
LEGACY_PICKLES = 5

KINDS = {".pth": "PyTorch", ".pt": "PyTorch", ".pdparams": "PaddlePaddle"}


def check_suffix(path: Path, suffix: str) -> None:
    """Raise UserError where the ending of `path` is not that of this framework's files."""
    kind = KINDS.get(path.suffix)
    if kind != KINDS[suffix]:
        what = f"weights of {kind}" if kind else "no weights by its ending"
        raise UserError(f"{path}: {what}; {KINDS[suffix]} loads {suffix} and .safetensors files")


def read_neutral(path: Path, load_file: Callable[[Path], dict]) -> dict:
    """Return the arrays of a .safetensors file (torch's layout). Raises UserError on a bad file."""
    with explained(f"{path}: cannot be loaded as safetensors", "make the file anew"):
        return load_file(path)


def is_plain_zip(path: Path) -> bool:
    """Say whether a file is a zip without compression. Raises UserError where it is damaged."""
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
    """Raise UserError, or what a damaged file raises, where torch.load could fill the memory."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":  # from before torch 1.6: pickles, one after the other
            file.seek(0)
            pickles.walk(file, size, size, LEGACY_PICKLES)
            return
        archive = zipfile.ZipFile(file)
        records = archive.infolist()
        packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        if packed or sum(record.file_size for record in records) > size:
            raise UserError("a zip that holds more than its own size, which torch never writes")
        for record in records:
            if record.filename.endswith("data.pkl"):
                pickles.walk(io.BytesIO(archive.read(record)), record.file_size, size)


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Turn whatever torch.load raises into a UserError, without its advice to run what it refuses.

    https://docs.pytorch.org/docs/stable/notes/serialization.html#weights-only
    """
    advice = "it is damaged, of another kind, or holds more than weights, which is refused "
    with explained(f"{path}: cannot be loaded", advice + "because it could run code"):
        try:
            yield
        except pickle.UnpicklingError as error:
            name = re.search(r"GLOBAL (\S+) was not", str(error))
            what = show(name[1]) if name else "more than tensors and plain containers"
            raise ValueError(f"it holds {what}") from None


def model_entry(path: Path, contents: Any) -> dict:
    """Return the weights of a state dict, or of a checkpoint that has them under a usual name.

    Where a run keeps a moving average of the weights, that is what was evaluated.
    """
    entries = [name for name in ENTRIES if isinstance(contents, dict) and name in contents]
    weights = contents[entries[0]] if entries else contents
    if not isinstance(weights, dict):
        raise UserError(f"{path}: holds no weights by name; give a state dict or a checkpoint")
    average = contents.get("ema") if "model" in contents else None
    return weights | average if isinstance(average, dict) else weights


def only_tensors(path: Path, weights: dict, kind: type) -> dict:
    """Return `weights` if all are tensors. Raises UserError, which names one that is none."""
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, kind):
            raise UserError(f"{path}: {name} is no tensor; give a state dict or a checkpoint")
    return weights


def loading(path: Path) -> AbstractContextManager[None]:
    """Turn what a framework raises on tensors of an odd kind, such as sparse, into a UserError."""
    return explained(f"{path}: its tensors cannot be put into the model", "make the file anew")


def transposed(matrix: np.ndarray) -> np.ndarray:
    """Return a transposed copy, [M, N] -> [N, M]."""
    turned = np.empty(matrix.shape[::-1], matrix.dtype)
    for row in range(0, len(matrix), 16):  # lines stay in the processor's cache: 4 times as fast
        turned[:, row : row + 16] = matrix[row : row + 16].T
    return turned


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def digests(weights: dict[str, np.ndarray]) -> dict[str, str]:
    """Return the SHA-256 of the bytes of each array."""
    return {name: digest(array) for name, array in weights.items()}
