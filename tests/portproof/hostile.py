"""Pickles that run code where they are loaded without care, in each form of a file of weights."""

import builtins
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


class Named:
    """Pickles as whatever a module has under a name, which need not be a part of it."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class HostilePickler(pickle._Pickler):
    def save(self, value: Any, save_persistent_id: bool = True) -> Any:
        if not isinstance(value, Named):
            return super().save(value, save_persistent_id)
        if self.proto < 4:
            return self.write(f"c{value.module}\n{value.name}\n".encode())
        super().save(value.module)
        super().save(value.name)
        return self.write(pickle.STACK_GLOBAL)

    def save_reduce(self, function: Any, arguments: Any, *rest: Any, **options: Any) -> None:
        self.save(function)
        self.save(arguments)
        self.write(pickle.REDUCE)


def hostile(mark: Path) -> dict[str, Call]:
    """Return values that make the file `mark` where their pickles are loaded without care."""
    touch, write = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    system = Call(getattr, Call(__import__, "os"), "system")
    return {
        "system": Call(os.system, touch),
        "eval": Call(builtins.eval, write),
        "exec": Call(builtins.exec, write),
        "open": Call(open, str(mark), "w"),
        "mknod": Call(os.mknod, str(mark)),
        "nested": Call(tuple, [Call(system, touch)]),
        "numpy": Call(Named("numpy.testing._private.utils", "runstring"), write, {}),
        "dotted": Call(Named("numpy", "testing._private.utils.os.system"), touch),
        "loads": Call(pickle.loads, pickle.dumps(Call(os.mknod, str(mark)))),
    }


def pickled(value: Any, protocol: int) -> bytes:
    file = io.BytesIO()
    HostilePickler(file, protocol).dump(value)
    return file.getvalue()


def as_zip(contents: bytes) -> bytes:
    """Return a .pth of today's form, whose data.pkl is `contents`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", contents)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    return file.getvalue()


def as_legacy(contents: bytes) -> bytes:
    """Return a .pth as torch wrote it before 1.6: a magic number, a version, the system, data."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join([*head, contents, pickle.dumps([], 2)])


# By the end of the file's name: the protocol, and what makes a file of the pickle.
FORMS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "raw.pth": (2, bytes), "zip.pth": (2, as_zip), "legacy.pth": (2, as_legacy),
    "0.pdparams": (0, bytes), "2.pdparams": (2, bytes), "4.pdparams": (4, bytes),
}  # fmt: skip
