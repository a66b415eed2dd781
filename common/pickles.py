"""Paddle's weight files, read without running what they may carry, and written.

A .pdparams file is a pickle, and a pickle can name any function of any module and have it called.
The reader knows the handful of names that arrays and plain containers need, and refuses the rest
before anything is called. https://docs.python.org/3/library/pickle.html#restricting-globals
"""

import collections
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import UserError

# Paddle's automatic names beside the structured ones, in files of a state dict of tensors.
NAME_TABLE = "StructuredToParameterName@@"
# Arrays that it cut into parts, since pickle's protocols 2 and 3 hold no more than 4 GB in one.
PART_TABLE = "UnpackBigParamInfor@@"


def _array(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """Stand for NumPy's _reconstruct: an empty array, to be filled by its state."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _bytes(text: str, encoding: str) -> bytes:
    """Stand for _codecs.encode, as which old pickle protocols spell bytes."""
    return text.encode("latin1")


_ALLOWED = {
    ("builtins", "tuple"): tuple,  # Paddle writes a tensor as tuple((name, array))
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar
    if hasattr(np, "_core")
    else np.core.multiarray.scalar,
    ("_codecs", "encode"): _bytes,
}
_ALLOWED["numpy._core.multiarray", "scalar"] = _ALLOWED["numpy.core.multiarray", "scalar"]


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UserError(
                f"it asks for {module}.{name}, which weights do not need and which could run code"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise UserError("it refers to data outside the file")


def read(path: Path) -> Any:
    """Return what the .pdparams file at `path` holds, each tensor as a NumPy array.

    Raises UserError where the file is damaged, of another kind, or asks for more than arrays.
    """
    try:
        with open(path, "rb") as file:
            contents = _joined(_plain(_load(file)))
    except UserError as error:
        raise UserError(f"{path}: refused: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(
            f"{path}: cannot be loaded ({str(error) or type(error).__name__}); it is damaged or "
            "no .pdparams file"
        ) from error
    if isinstance(contents, dict):
        contents.pop(NAME_TABLE, None)
    return contents


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what paddle.save(layer.state_dict(), path) writes: arrays by name, then their names.

    bfloat16 is given as the uint16 of its bits, as Paddle does. The arrays may be views of any
    layout; no more than one is copied at a time. Raises OSError.
    """
    contents: dict[str, Any] = {name: _InTurn(array) for name, array in arrays.items()}
    contents[NAME_TABLE] = {name: name for name in arrays}
    with open(path, "wb") as file:
        pickler = pickle.Pickler(file, protocol=4)
        pickler.fast = True  # keeps no memo, in which every array's bytes would stay
        pickler.dump(contents)


class _InTurn:
    """Pickles as the array itself does in C order; its bytes are made only when they are due."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __reduce__(self) -> tuple:
        array = self.array
        rebuild, start, _ = np.empty(0, array.dtype).__reduce__()
        # The state of an array: a version, shape, dtype, whether in Fortran's order, and the bytes.
        return rebuild, start, (1, array.shape, array.dtype, False, array.tobytes())


def _load(file: BinaryIO) -> Any:
    return _Reader(file, encoding="latin1").load()


def _joined(contents: Any) -> Any:
    """Put arrays together that Paddle cut into parts."""
    if not isinstance(contents, dict) or not isinstance(contents.get(PART_TABLE), dict):
        return contents
    for name, entry in contents.pop(PART_TABLE).items():
        parts = [contents.pop(part) for part in entry["slices"]]
        contents[name] = np.concatenate(parts).reshape(entry["OriginShape"])
    return contents


def _plain(value: Any) -> Any:
    """Turn each (name, array) into the array, and refuse arrays of objects."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
        value = value[1]
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        raise UserError("it holds an array of objects, not of numbers")
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
