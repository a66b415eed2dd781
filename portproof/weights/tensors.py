"""Weights as bits: tensors with the dtype they have in a file, whether NumPy knows it or not.

The neutral format is safetensors (https://huggingface.co/docs/safetensors) in torch's layout. NumPy
has no bfloat16: such a tensor is kept as the unsigned integers of its bits.
"""

import json
import math
import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portproof.system.errors import UserError, explained

# The name in the file -> NumPy's dtype.
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "uint16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a file: the dtype's name in safetensors, and the array that holds its bits."""

    dtype: str
    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def transposed(self) -> "Tensor":
        """Return the tensor with its axes exchanged, a view."""
        return Tensor(self.dtype, self.array.T)

    def release(self) -> None:
        """Give back the memory that a mapped tensor took as it was looked at; it stays usable."""
        owner = self.array
        while owner is not None and not isinstance(owner, mmap.mmap):
            owner = getattr(owner, "base", None)
        if owner is not None:
            owner.madvise(mmap.MADV_DONTNEED)

    def has_same_bits(self, other: "Tensor") -> bool:
        """Say whether both have the same dtype, shape and bits; NaN equals itself here."""
        bits = f"u{self.array.dtype.itemsize}"
        same_kind = self.dtype == other.dtype and self.shape == other.shape
        return same_kind and np.array_equal(self.array.view(bits), other.array.view(bits))

    def count_not_finite(self) -> int:
        """Return how many elements are NaN or infinite."""
        if self.dtype == "BF16":  # infinite or NaN: all eight bits of the exponent are set
            return int(np.count_nonzero((self.array & 0x7F80) == 0x7F80))
        return int(np.count_nonzero(~np.isfinite(self.array)))

    def as_float64(self) -> np.ndarray:
        """Return the values, exactly, as float64."""
        if self.dtype == "BF16":  # a bfloat16 is the upper half of a float32
            return (self.array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return self.array.astype(np.float64)


Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A weights file of any kind, its names and layout as they are in it."""

    path: Path  # as its user names it
    staged: Path  # the same as a .safetensors
    tensors: Tensors


def from_array(array: np.ndarray) -> Tensor:
    """Return an array as a tensor; uint16 is bfloat16. Raises UserError at an odd dtype."""
    name = next((name for name, dtype in DTYPES.items() if array.dtype == dtype), None)
    if name is None:
        raise UserError(f"its dtype {array.dtype} is none that weights have")
    return Tensor(name, array)


def read(path: Path, named: Path | None = None) -> Tensors:
    """Return the tensors of a .safetensors file, mapped from the disk rather than read.

    Raises UserError where the file is damaged or of another kind. `named`: the user's file, from
    which `path` was made.
    """
    from safetensors import safe_open  # a worker's interpreter may lack it

    what = f"{named or path}: cannot be loaded as safetensors"
    with explained(what, "it is damaged or of another kind"), safe_open(path, framework="numpy"):
        pass  # the header and every offset have been checked
    return read_own(path, named)


def read_own(path: Path, named: Path | None = None) -> Tensors:
    """Return the tensors of a file that is known to be intact. Raises UserError at an odd dtype."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        kind, shape = entry["dtype"], tuple(entry["shape"])
        if kind not in DTYPES:
            raise UserError(f"{named or path}: {name} has the dtype {kind}, none that weights have")
        offset = 8 + length + entry["data_offsets"][0]
        if 0 in shape:
            array = np.empty(shape, DTYPES[kind])
        else:
            array = np.memmap(path, DTYPES[kind], "r", offset, shape or (1,)).reshape(shape)
        tensors[name] = Tensor(kind, array)
    return tensors


def write(path: Path, tensors: Tensors) -> None:
    """Write tensors as a .safetensors file, one after the other. Raises OSError."""
    # Wide numbers first, so that each lies at a multiple of its size.
    names = sorted(tensors, key=lambda name: -tensors[name].array.itemsize)
    header, start = {}, 0
    for name in names:
        tensor, end = tensors[name], start + tensors[name].array.nbytes
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header).encode()
    encoded = encoded.ljust(8 * math.ceil(len(encoded) / 8))
    with open(path, "wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in names:
            file.write(np.ascontiguousarray(tensors[name].array).reshape(-1).view(np.uint8))
            tensors[name].release()
