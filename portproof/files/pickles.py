"""Paddle's weight files, read without running what they may carry, and written.

A pickle, such as a .pdparams file, can have any function of any module called. The reader refuses
all names but the few that arrays and plain containers need, before anything is called. Nor does it
trust what a file says of sizes, of arrays, dtypes and keys.
https://docs.python.org/3/library/pickle.html#restricting-globals
"""

import math
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from portproof.system.errors import UserError, first_line, show

# Paddle's automatic names beside the structured ones, in files of a state dict of tensors.
NAME_TABLE = "StructuredToParameterName@@"
# Arrays that it cut into parts, since pickle's protocols 2 and 3 hold no more than 4 GB in one.
PART_TABLE = "UnpackBigParamInfor@@"


class _Kind:
    """Stands for a dtype that is being read: of numbers, and nothing else."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: Any) -> None:
        if code == "O8":
            raise UserError("it holds an array of objects, not of numbers")
        if not isinstance(code, str) or not re.fullmatch(r"[biufc]\d{1,2}", code):
            raise UserError(f"it holds an array of {ascii(code)[:40]}, not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; NumPy's own would take fields too, that point outside the array."""
        _, order, subtype, names, fields, *_ = state
        if not (order in ("<", ">", "=", "|") and subtype is names is fields is None):
            raise UserError("it holds an array of records, not of numbers")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array that is being read; NumPy would trust the state that it is given."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        if isinstance(content, str):  # from Python 2
            content = content.encode("latin1")
        right = isinstance(kind, _Kind) and isinstance(content, bytes) and isinstance(shape, tuple)
        right = right and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)
        if not right or len(content) != math.prod(shape) * kind.dtype.itemsize:
            raise UserError("an array in it does not have the size that it claims")
        self.array = np.ndarray((0,), "b")
        self.array.__setstate__((1, shape, kind.dtype, bool(fortran), content))  # without a copy


class _Callable:
    """Stands for a function or type that a file may call, and may do nothing else with."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UserError("it changes a function")


def _scalar(kind: _Kind, content: bytes) -> np.generic:
    (number,) = np.frombuffer(content, kind.dtype)
    return number


def _bytes(text: str, encoding: str) -> bytes:
    """Stand for _codecs.encode, as which old pickle protocols spell bytes."""
    return text.encode("latin1")


class _Dict(dict):
    """Stands for an OrderedDict."""

    def __setstate__(self, state: Any) -> None:
        """Drop the attributes that torch gives it, such as the versions of layers."""


def _dict(pairs: Iterable[tuple] = ()) -> _Dict:
    pairs = list(pairs)
    _check_keys(key for key, _ in pairs)
    return _Dict(pairs)


def _set(members: Iterable = ()) -> set:
    return set(_check_keys(members))


def _check_keys(keys: Iterable) -> list:
    """Return `keys`; refuse what to hash could end the process (deep tuples) or take for ever."""
    keys = list(keys)
    for key in keys:
        for part in key if type(key) is tuple else (key,):
            small = isinstance(part, int) and abs(part) < 2**32
            if not (part is None or small or isinstance(part, (str, bytes))):
                raise UserError(f"it has a key with a {type(part).__name__} in it")
    return keys


_FUNCTIONS = {
    "builtins.tuple": tuple,  # Paddle writes a tensor as tuple((name, array))
    "builtins.set": _set,
    "collections.OrderedDict": _dict,
    "numpy.dtype": _Kind,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _bytes,
}
_ALLOWED = {name: _Callable(function) for name, function in _FUNCTIONS.items()}
_ALLOWED["numpy.ndarray"] = None  # only ever told to _reconstruct


# What a file may make in memory: so many times its own bytes or numbers (in a list, 8 bytes for 2
# in the file; tensors that share their numbers), and a little.
GROWTH, LITTLE = 4, 1 << 16
SMALL = 128  # bytes of an object that are not counted


class _Bounded:
    """A file that reads no more than it has; a size in a pickle may be any number."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.readline = file.readline
        self.size = size
        self.made = 0  # bytes, by calls

    def count(self, arguments: Any) -> None:
        """Count what a call makes of its arguments, each of which may have been used before."""
        objects = arguments if isinstance(arguments, tuple) else ()
        self.made += sum(max(sys.getsizeof(thing) - SMALL, 0) for thing in objects)
        _check_growth(self.made, self.size)

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.size - self.file.tell():
            raise UserError("it ends too early")
        return self.file.read(count)


def _check_growth(made: int, held: int) -> None:
    if made > GROWTH * held + LITTLE:
        raise UserError("it makes far more in memory than it holds")


class _Reader(pickle._Unpickler):
    """Python's own reader in Python. The one in C makes room for what a file claims to hold."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)  # instruction -> what it does

    def __init__(self, file: _Bounded, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.file = file

    def call(self) -> None:
        self.file.count(self.stack[-1])
        self.load_reduce()

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _ALLOWED:
            why = "which weights do not need and which could run code"
            raise UserError(f"it asks for {show(full)}, {why}")
        return _ALLOWED[full]

    def refuse(self) -> None:
        raise UserError("it has an instruction that weights do not need and that could run code")


def _checked(code: bytes, keys: slice) -> Callable[[_Reader], None]:
    """Return what the reader does at an instruction: look at the keys on the stack, then go on."""

    def instruction(reader: _Reader) -> None:
        _check_keys(reader.stack[keys])
        pickle._Unpickler.dispatch[code[0]](reader)

    return instruction


# Where on the stack an instruction has its keys.
_KEYS = {pickle.SETITEM: slice(-2, -1), pickle.ADDITEMS: slice(None)}
_KEYS |= dict.fromkeys((pickle.SETITEMS, pickle.DICT), slice(None, None, 2))
_Reader.dispatch |= {code[0]: _checked(code, keys) for code, keys in _KEYS.items()}
_Reader.dispatch[pickle.REDUCE[0]] = _Reader.call
_REFUSED = pickle.PERSID + pickle.BINPERSID + pickle.INST + pickle.OBJ + pickle.NEWOBJ
_REFUSED += pickle.NEWOBJ_EX + pickle.EXT1 + pickle.EXT2 + pickle.EXT4 + pickle.FROZENSET
_REFUSED += pickle.BYTEARRAY8 + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER
_Reader.dispatch |= dict.fromkeys(_REFUSED, _Reader.refuse)


class _Inert:
    """Stands, in a walk, for whatever a pickle makes; nothing comes of it."""

    __slots__ = ()

    def __call__(self, *_: Any) -> "_Inert":
        return self

    def __setstate__(self, state: Any) -> None:
        pass


class _Walker(_Reader):
    def __init__(self, file: _Bounded, held: int) -> None:
        super().__init__(file, encoding="utf-8")
        self.held = held
        self.stored: dict[str, int] = {}  # numbers of each storage
        self.shaped = 0  # numbers of all tensors; one may show a number again and again

    def find_class(self, module: str, name: str) -> Any:
        if name == "bytearray":  # torch.load would make one of any length
            raise UserError("it asks for a bytearray, which weights do not need")
        if name.startswith("_rebuild_tensor"):
            return self.rebuild
        return _WALKED.get(name, _Inert())

    def rebuild(self, storage: Any, offset: int, size: tuple[int, ...], *_: Any) -> _Inert:
        self.shaped += math.prod(size)
        _check_growth(self.shaped, sum(self.stored.values()))
        return _Inert()

    def persistent_load(self, pid: Any) -> Any:
        """Look at the name and the length of a storage, which torch.load looks up."""
        _check_keys(part for part in pid if not isinstance(part, _Inert))
        _, _, key, _, length, *_ = pid
        self.stored[key] = min(length, self.held)
        return _Inert()

    def make_object(self) -> None:
        self.stack[-2:] = [_Inert()]


_WALKED = {"OrderedDict": _dict, "Counter": _dict, "defaultdict": _dict, "set": _set}
_Walker.dispatch = _Reader.dispatch | {
    pickle.BINPERSID[0]: pickle._Unpickler.load_binpersid,
    pickle.NEWOBJ[0]: _Walker.make_object,
}


def walk(file: BinaryIO, size: int, held: int, count: int = 1) -> None:
    """Go through `count` pickles in a file of `size` bytes, as torch.load would, and make nothing.

    `held`: the bytes of the whole file, of which a zip has the numbers apart.

    torch.load runs no code of theirs, but tuples within tuples can end its process, and a few bytes
    fill its memory. Raises UserError, and what a damaged pickle raises.
    """
    bounded = _Bounded(file, size)
    for _ in range(count):
        _Walker(bounded, held).load()


def read(path: Path) -> Any:
    """Return what the .pdparams file at `path` holds, each tensor as a NumPy array.

    Raises UserError where the file is damaged, of another kind, or asks for more than arrays.
    """
    try:
        with open(path, "rb") as file:
            bounded = _Bounded(file, os.fstat(file.fileno()).st_size)
            contents = _plain(_Reader(bounded, encoding="latin1").load(), {})
            _check_growth(_bytes_by_name(contents), bounded.size)
            contents = _joined(contents)
    except UserError as error:
        raise UserError(f"{path}: refused: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        what = f"{path}: cannot be loaded ({first_line(error)})"
        raise UserError(f"{what}; it is damaged or no .pdparams file") from error
    if isinstance(contents, dict):
        contents.pop(NAME_TABLE, None)
    return contents


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what paddle.save(layer.state_dict(), path) writes: arrays by name, then their names.

    A bfloat16 is given as the uint16 of its bits. Arrays may be views of any kind. Raises OSError.
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


def _bytes_by_name(contents: Any) -> int:
    """Return the bytes of all arrays that have a name, of the same array for each of its names."""
    dicts = [contents, *(contents.values() if isinstance(contents, dict) else ())]
    values = [value for names in dicts if isinstance(names, dict) for value in names.values()]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def _joined(contents: Any) -> Any:
    """Put arrays together that Paddle cut into parts."""
    if not isinstance(contents, dict) or not isinstance(contents.get(PART_TABLE), dict):
        return contents
    for name, entry in contents.pop(PART_TABLE).items():
        parts = [contents.pop(part) for part in entry["slices"]]
        contents[name] = np.concatenate(parts).reshape(entry["OriginShape"])
    return contents


def _plain(value: Any, made: dict[int, Any]) -> Any:
    """Return `value` with arrays in place of what stands for them and for (name, array).

    `made` has what was made by identity: written out, lists of lists could fill any memory.
    """
    if id(value) in made:
        return made[id(value)]
    plain = value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        plain = value[1]
    if isinstance(plain, _Array):
        plain = plain.array
        if plain is None:
            raise UserError("it holds an array without contents")
    elif isinstance(value, dict):
        plain = {key: _plain(entry, made) for key, entry in value.items()}
    elif isinstance(value, (list, tuple)):
        plain = type(value)(_plain(entry, made) for entry in value)
    elif isinstance(value, (_Kind, _Callable)):
        raise UserError("it holds a type or a function, which weights do not need")
    made[id(value)] = plain
    return plain
