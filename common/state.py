"""Checks of weights before they are loaded; framework-free."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from common import networks, pickles
from common.errors import UserError

Shapes = dict[str, tuple[int, ...]]

COUNTS = ("epoch", "step", "correct", "seen", "world_size")
MEASURES = ("loss_sum", "best_top1", "lr", "seconds")
# What a checkpoint to go on from holds.
CHECKPOINT = ("model", "optimizer", "scheduler", "scaler", "ema", *COUNTS, *MEASURES)
ENTRIES = ("model", "state_dict", "model_state_dict")  # under which checkpoints keep their weights
HEAD = "classifier.6"  # the last layer of AlexNet, in both trees
LAST_BIAS = f"{HEAD}.bias"  # as long as there are classes

# A magic number, a version, the machine, the contents, the names of the storages.
LEGACY_PICKLES = 5

KINDS = {".pth": "PyTorch", ".pt": "PyTorch", ".pdparams": "PaddlePaddle"}


def check_suffix(path: Path, own: str) -> None:
    """Raise UserError where the ending of `path` is not that of this framework's files."""
    kind = KINDS.get(path.suffix)
    if kind != KINDS[own]:
        what = f"weights of {kind}" if kind else "no weights by its ending"
        raise UserError(f"{path}: {what}; this tree loads {own} and .safetensors files")


def read_neutral(path: Path, load_file: Callable[[Path], dict]) -> dict:
    """Return the arrays of a .safetensors file (torch's layout). Raises UserError on a bad file."""
    try:
        return load_file(path)
    except Exception as error:  # the reader has error types of its own
        raise UserError(
            f"{path}: cannot be loaded as safetensors ({first_line(error)}); make the file anew"
        ) from error


def count_classes(path: Path) -> int | None:
    """Return how many classes the AlexNet in a .safetensors file tells apart, None if it has none.

    Raises UserError on a bad file.
    """
    found = read_neutral(path, lambda path: safe_open(path, framework="numpy"))
    with found as file:
        if LAST_BIAS not in file.keys():  # noqa: SIM118 (the file is no dict)
            return None
        shape = file.get_slice(LAST_BIAS).get_shape()
    return shape[0] if len(shape) == 1 else None


def which_network(path: Path) -> str | None:
    """Return the name of the AlexNet in a .safetensors file, None if it has none.

    Raises UserError on a bad file.
    """
    with read_neutral(path, lambda path: safe_open(path, framework="numpy")) as file:
        return networks.of_weights(file.keys())


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


def check(path: Path, found: Shapes, expected: Shapes) -> None:
    """Raise UserError, naming the first layer, where a file's keys or shapes misfit the model."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    for names, trouble in ((missing, "lacks"), (unknown, "has, unknown to the model,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            model = networks.of_weights(found)
            another = model not in (None, networks.of_weights(expected))
            whose = f"those of --model {model}" if another else "another network's weights"
            raise UserError(f"{path}: the file {trouble} {names[0]}{more}; it holds {whose}")
    for name, shape in expected.items():
        if found[name] != shape:
            why = "was it trained with another network?"
            if name.startswith(f"{HEAD}."):
                why = (
                    "it was trained on another number of classes; --finetune takes all other "
                    "layers from it and draws this one anew"
                )
            raise UserError(
                f"{path}: {name} is {list(found[name])} in the file and {list(shape)} in the "
                f"model; {why}"
            )


def with_own_head(path: Path, weights: dict, own: dict) -> dict:
    """Return the weights of a file with the model's `own` last layer in place of theirs."""
    kept = {name: value for name, value in own.items() if name.startswith(f"{HEAD}.")}
    others = {name: value for name, value in weights.items() if name not in kept}
    classes = len(own[LAST_BIAS])
    print(f"finetune: {HEAD} is drawn anew for {classes} classes; all else comes from {path}")
    return others | kept


def model_entry(path: Path, contents: Any) -> dict:
    """Return the weights of a file: those that a train.py checkpoint was evaluated with, or all.

    Where a run keeps a moving average of the weights, that is what was evaluated. Other projects'
    checkpoints are read too, where their weights have one of the usual names.
    """
    entries = [name for name in ENTRIES if isinstance(contents, dict) and name in contents]
    weights = contents[entries[0]] if entries else contents
    if not isinstance(weights, dict):
        raise UserError(f"{path}: holds no weights by name; give a state dict or a checkpoint")
    average = contents.get("ema") if "model" in contents else None
    return weights | average if isinstance(average, dict) else weights


def class_names(contents: Any) -> list[str] | None:
    """Return the names of the classes in a train.py checkpoint, None where it has none."""
    names = contents.get("classes") if isinstance(contents, dict) else None
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if known else None


def count_outputs(path: Path, weights: dict) -> int:
    """Return how many classes the AlexNet in `weights` tells apart. Raises UserError on others."""
    shape = tuple(getattr(weights.get(LAST_BIAS), "shape", ()))
    if len(shape) != 1:
        raise UserError(f"{path}: has no {LAST_BIAS}; it holds another network's weights")
    return shape[0]


def only_tensors(path: Path, weights: dict, kind: type) -> dict:
    """Return `weights` if all are tensors. Raises UserError, which names one that is none."""
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, kind):
            raise UserError(f"{path}: {name} is no tensor; give a state dict or a checkpoint")
    return weights


def check_keys(path: Path, contents: Any, needed: Iterable[str]) -> None:
    """Raise UserError where a checkpoint lacks a part that resuming needs."""
    missing = [key for key in needed if not isinstance(contents, dict) or key not in contents]
    if not missing:
        odd = [name for name in COUNTS if type(contents[name]) is not int or contents[name] < 0]
        odd += [name for name in MEASURES if not isinstance(contents[name], (int, float))]
        missing = [f"number in {name}" for name in odd]
    if missing:
        raise UserError(
            f"{path}: not a checkpoint to resume from (no {', '.join(missing)}); "
            "to start from its weights alone, use --weights"
        )


@contextmanager
def user_error(path: Path) -> Iterator[None]:
    """Turn what a framework raises on a state that misfits into a UserError."""
    try:
        yield
    except Exception as error:  # a damaged state can have it raise nearly anything
        raise UserError(
            f"{path}: its optimizer or schedule does not fit this run ({first_line(error)}); "
            "start a new run from its weights by --weights"
        ) from error


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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a writer raises, such as on a full disk, into a UserError."""
    try:
        yield
    except Exception as error:  # writers in C++ and Rust have error types of their own
        raise UserError(
            f"{path}: cannot be written ({reason(error)[0]}); free some space, or name another "
            "folder"
        ) from error


def reason(error: Exception) -> tuple[str, int | None]:
    """Return why a file could not be written, in words and as the system's number if it has one."""
    known = error if isinstance(error, OSError) else error.__context__
    return getattr(known, "strerror", None) or first_line(error), getattr(known, "errno", None)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def transposed(matrix: np.ndarray) -> np.ndarray:
    """Return a transposed copy, [M, N] -> [N, M]; some rows at a time, which is four times as fast.

    Else each number is written to a line of the processor's cache that has long been replaced.
    """
    found = np.empty(matrix.shape[::-1], matrix.dtype)
    for row in range(0, len(matrix), 16):
        found[:, row : row + 16] = matrix[row : row + 16].T
    return found


def digests(weights: dict[str, np.ndarray]) -> dict[str, str]:
    """Return the SHA-256 of the bytes of each array."""
    return {
        name: hashlib.sha256(np.ascontiguousarray(value)).hexdigest()
        for name, value in weights.items()
    }
