"""Feed damaged and hostile files to the readers, in a process with little memory.

    python -m tests.fuzz KIND [KIND ...] --inputs N --seed N

Each input is a valid file that was changed at random, or a hostile one made for the reader. Prints
how many of each kind were read and refused. Ends with a traceback where a reader ends in anything
but a UserError, takes longer than SECONDS, asks for more memory than there is, or writes.
"""

import argparse
import contextlib
import io
import json
import os
import pickle
import random
import resource
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save

from common.data import image_files, synthetic
from common.paths import ROOT
from common.training import args as arguments
from common.training import model_files
from portproof.cli.runs import measure
from portproof.files import pickles, state
from portproof.runs.logs import read_log
from portproof.system.errors import UserError
from tests.support import logs

SECONDS = 5  # for one input
MEMORY = 1 << 30  # bytes that all inputs of a process may take beyond what it has at its start
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**31, 2**62, 2**64 - 1]
VALUES = [None, True, -1, 0, 10**30, 1.5, float("nan"), "", "x", "\0", [], [1], {}, "a/b"]
# What a reader has no business to do; the names are those of sys.addaudithook.
FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.mkdir",
    "os.remove", "os.rename", "os.chmod", "os.symlink", "os.link", "os.truncate", "shutil.",
    "subprocess.", "socket.", "ctypes.", "builtins.input", "pty.", "webbrowser.",
)  # fmt: skip


class Stopped(BaseException):
    """A reader that takes too long, or does more than read."""


def change(contents: bytes, draw: random.Random, other: bytes) -> bytes:
    """Change a file's bytes at one to four places."""
    file = bytearray(contents)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(file) + 1)
        length = draw.choice([1, 1, 2, 4, 8, 40])
        kind = draw.randrange(7)
        if kind == 0 and file:
            file[start % len(file)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            file[start : start + length] = draw.randbytes(length)
        elif kind == 2:
            del file[start : start + length]
        elif kind == 3:
            file[start:start] = file[start : start + length] * draw.choice([1, 3, 100])
        elif kind == 4:
            form = draw.choice(["<B", "<H", ">H", "<I", ">I", "<Q", ">Q"])
            number = draw.choice(NUMBERS) % (1 << 8 * struct.calcsize(form))
            file[start : start + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 5:
            first = draw.randrange(len(other) + 1)
            file[start : start + length] = other[first : first + 4 * length]
        elif draw.random() < 0.3:
            del file[start:]
    return bytes(file)


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    """Return what `write` writes to a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of named files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def arrays() -> dict[str, np.ndarray]:
    """Return the weights of a small network with AlexNet's last layer."""
    draw = np.random.default_rng(0)
    shapes = {"features.0.weight": (2, 3, 3, 3)}
    shapes |= zip(model_files.LAST_LAYER, ((3, 8), (3,)), strict=True)
    return {name: draw.random(shape).astype(np.float32) for name, shape in shapes.items()}


def hostile_pickles(trace: Path) -> list[bytes]:
    """Return pickles that would run code, crash, or fill the memory if a reader let them."""
    command = f"touch {trace}".encode()
    sized = bytes([len(command)]) + command
    deep = b"\x80\x02" + b")" + b"\x85" * 200_000  # a tuple in a tuple in a tuple
    levels = b"]q\x00" + b"".join(
        b"](" + (b"h" + bytes([n])) * 10 + b"eq" + bytes([n + 1]) for n in range(40)
    )  # ten times ten times ten ... of one list
    number = struct.pack("<Q", 10**11)
    # One long argument that is used again and again: 16 GB of tuples, 2 GB of bytes.
    tuples = b"](" + b"K\x01" * 100_000 + b"eq\x00cbuiltins\ntuple\nq\x01]("
    tuples += b"h\x01h\x00\x85R" * 20_000
    encoded = b"X" + struct.pack("<I", 100_000) + b"x" * 100_000 + b"q\x00"
    encoded += b"X\x06\x00\x00\x00latin1q\x01c_codecs\nencode\nq\x02]("
    encoded += b"h\x02h\x00h\x01\x86R" * 20_000
    return [
        b"cos\nsystem\n(S'" + command + b"'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + sized + b"\x85R.",
        b"cbuiltins\nexec\n(S'import os; os.mkdir(\"" + str(trace).encode() + b"\")'\ntR.",
        b"(S'" + command + b"'\nios\nsystem\n.",
        b"(cos\nsystem\nS'" + command + b"'\no.",
        b"}" + deep + b"K\x01s.",
        b"(" + deep + b"K\x01d.",
        b"\x8f(" + deep + b"\x90.",
        b"cbuiltins\nset\n(](" + deep + b"etR.",
        b"\x80\x02" + levels + b".",
        b"\x80\x02}X\x01\x00\x00\x00a" + levels + b"s.",
        b"\x8e" + number + b"x.",  # bytes of 100 GB
        b"\x8d" + number + b"x.",  # text
        b"\x96" + number + b"x.",  # a bytearray
        b"\x95" + number + b"N.",  # a frame
        b"Nr\xff\xff\xff\x7f.",  # a place far out in the list of what was read
        b"\x8b\xff\xff\xff\x7f\x00.",  # a number of 2 GB
        b"I" + b"9" * 100_000 + b"\n.",
        tuples + b"e.",
        encoded + b"e.",
        b"cbuiltins\nbytearray\n(I100000000000\ntR.",
        b"cnumpy\nndarray\n((I100000\nI100000\nttR.",
        b"cnumpy\nndarray\nN(N}X\x01\x00\x00\x00xK\x01stb.",
        b"cnumpy.core.multiarray\n_reconstruct\nN}X\x0c\x00\x00\x00__defaults__Ns\x86b.",
        b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR(I3\nS'|'\nN(S'a'\nt}S'a'\n(S'O'\nI1000\ntsI8\nI1\nI16\ntb.",
    ]


class Kind:
    """Valid files, hostile ones, and the reader of one kind of file."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.trace = folder, folder / self.name, folder / "trace"
        self.valid = self.make_valid()
        self.hostile = self.make_hostile()

    def make_hostile(self) -> list[bytes]:
        return []

    def draw_input(self, number: int, draw: random.Random) -> bytes:
        made = [*self.valid, *self.hostile]
        return made[number] if number < len(made) else self.draw_changed(draw)

    def draw_changed(self, draw: random.Random) -> bytes:
        files = self.hostile if self.hostile and draw.random() < 0.1 else self.valid
        return change(draw.choice(files), draw, draw.choice(self.valid))


class Pdparams(Kind):
    name = "input.pdparams"

    def make_valid(self) -> list[bytes]:
        whole = {"model": {n: (n, a) for n, a in arrays().items()}, "epoch": 3, "best_top1": 1.5}
        files = (whole, arrays())
        return [pickle.dumps(file, protocol) for protocol in (2, 3, 4) for file in files]

    def make_hostile(self) -> list[bytes]:
        return hostile_pickles(self.trace)

    def read(self) -> None:
        weights = state.model_entry(self.path, pickles.read(self.path))
        state.only_tensors(self.path, weights, np.ndarray)
        for array in weights.values():
            assert not array.dtype.hasobject
            array.tobytes()  # every byte of it is there


class Safetensors(Kind):
    name = "input.safetensors"

    def make_valid(self) -> list[bytes]:
        return [save(arrays()), save({"a": np.arange(4)}, {"made": "here"})]

    def make_hostile(self) -> list[bytes]:
        def with_header(header: bytes, size: int | None = None, rest: bytes = b"") -> bytes:
            return struct.pack("<Q", len(header) if size is None else size) + header + rest

        tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        huge = tensor | {"shape": [2**40, 2**40]}
        outside = tensor | {"data_offsets": [8, 2**63]}
        tables = ({"a": huge}, {"a": outside}, {"../../a": tensor, "b": tensor})
        return [
            with_header(b"{}", 2**64 - 1),
            with_header(b"{}", 10**9),
            with_header(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
            *(with_header(json.dumps(table).encode(), rest=b"x" * 8) for table in tables),
            with_header(b"[" * 100_000),
        ]

    def read(self) -> None:
        model_files.which_network(self.path)
        for array in state.read_neutral(self.path, load_file).values():
            array.tobytes()


class Pth(Kind):
    name = "input.pth"

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(ROOT / "AlexNet-torch"))
        import torch

        import checkpoint

        self.torch, self.checkpoint = torch, checkpoint
        self.model = torch.nn.Module()
        self.model.features = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, bias=False))
        self.model.classifier = torch.nn.Sequential()
        self.model.classifier.add_module("6", torch.nn.Linear(8, 3))
        super().__init__(folder)

    def make_valid(self) -> list[bytes]:
        weights = self.model.state_dict()
        whole = {"model": weights, "epoch": 3, "best_top1": 1.5}
        forms = [(saved, new) for saved in (whole, weights) for new in (True, False)]
        save = self.torch.save
        return [written(partial(save, w, _use_new_zipfile_serialization=new)) for w, new in forms]

    def make_hostile(self) -> list[bytes]:
        empty = {"archive/data.pkl": b"\x80\x02N."}
        bomb = zipped(empty | {"archive/data/0": bytes(1 << 28)}, zipfile.ZIP_DEFLATED)
        outside = zipped({f"../../../..{self.trace}": b"x"} | empty)
        named = b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n)" + b"\x85" * 200_000
        named += b"X\x03\x00\x00\x00cpuK\x01tQ."  # tensors whose storage has a deep tuple as name
        pickles_within = [*hostile_pickles(self.trace), named]
        inner = [self.packed(lambda _, other=other: other) for other in pickles_within]
        million = {f"{model_files.HEAD}.bias": self.torch.zeros(1).expand(10**6)}
        shown = [written(partial(self.torch.save, million))]  # a number, shown a million times
        return [bomb, outside, *shown, *inner, *hostile_pickles(self.trace)]

    def packed(self, change_pickle: Callable[[bytes], bytes]) -> bytes:
        """Return a torch zip with its pickle changed, and the right checksums."""
        with zipfile.ZipFile(io.BytesIO(self.valid[0])) as source:
            files = {name: source.read(name) for name in source.namelist()}
        (name,) = (name for name in files if name.endswith("data.pkl"))
        return zipped(files | {name: change_pickle(files[name])})

    def draw_changed(self, draw: random.Random) -> bytes:
        if draw.random() < 0.5:
            return self.packed(lambda pickled: change(pickled, draw, b"\x85\x52\x73\x75\x62\x81"))
        return super().draw_changed(draw)

    def read(self) -> None:
        self.checkpoint.load_weights(self.path, self.model)


class Images(Kind):
    name = "input.jpg"

    def make_valid(self) -> list[bytes]:
        image = Image.fromarray(synthetic.draw_image(0, "train", "rings", 0)).resize((24, 20))
        forms = [(name, {}) for name in ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")]
        forms += [("JPEG", {"progressive": True}), ("TIFF", {"compression": "tiff_lzw"})]
        files = [written(partial(image.save, format=name, **options)) for name, options in forms]
        return [*files, written(partial(image.convert("P").save, format="PNG", transparency=3))]

    def make_hostile(self) -> list[bytes]:
        script = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({self.trace}) (w) file\n"
        return [script.encode(), b"P6 60000 60000 255\n", b"GIF89a" + b"\xff" * 50]

    def read(self) -> None:
        image_files.read_rgb(self.path)


class ArgsJson(Kind):
    name = "args.json"

    def make_valid(self) -> list[bytes]:
        self.path.with_name("last.pth").touch()
        options = ["--recipe", "sample"], ["--data-path", str(self.folder), "--lr", "0.5"]
        runs = [{"arguments": vars(arguments.parse("torch", argv))} for argv in options]
        return [json.dumps(run, default=str).encode() for run in runs]

    def make_hostile(self) -> list[bytes]:
        return [b"[" * 100_000, b'{"arguments":' * 50_000, b'{"arguments": []}', b"null"]

    def draw_changed(self, draw: random.Random) -> bytes:
        if draw.random() < 0.5:
            described = json.loads(draw.choice(self.valid))
            name = draw.choice(list(described["arguments"]))
            described["arguments"][name] = draw.choice(VALUES)
            return json.dumps(described).encode()
        return super().draw_changed(draw)

    def read(self) -> None:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                args = arguments.parse("torch", ["--resume", str(self.path.with_name("last.pth"))])
        except SystemExit as end:
            assert end.code == 2 and said.getvalue().count("\n") == 1, said.getvalue()
            raise UserError(said.getvalue()) from None
        assert type(args.epochs) is int and type(args.lr) is float and type(args.seed) is int
        assert args.data_path is None or isinstance(args.data_path, Path)
        assert args.recipe in arguments.RECIPES


class RunLogs(Kind):
    name = "a.log"

    def make_valid(self) -> list[bytes]:
        top1, average = [10.5, 56.522], [9.0, 57.25]
        texts = [write(top1) for write in (logs.own, logs.timm, logs.alexnet_prod)]
        texts += [write(top1, average=average) for write in (logs.paddleclas, logs.torchvision)]
        return [text.encode() for text in texts]

    def make_hostile(self) -> list[bytes]:
        many = b"9" * 100_000
        return [
            b'{"epoch":' * 50_000,
            b'{"epoch": 1, "val_top1": ' + many[:1000] + b"}\n",
            b'{"epoch": ' + many[:1000] + b', "val_top1": 5.5}\n',
            b"epoch,eval_top1\n" + many + b",1\n",
            b"Epoch: [" + many + b"]\nTest:  Acc@1 56.522 Acc@5 79.066\n",
            b"[Eval][Epoch 1][Avg]top1: " + many + b".00000\n",
        ]

    def read(self) -> None:
        log = read_log(self.path)
        for rows in (log.epochs, log.average):
            for row in rows.values():
                assert all(type(value) is float for value in row.values())
        with contextlib.suppress(UserError):
            measure("run", log, "val_top1", "best")


KINDS: dict[str, type[Kind]] = {
    "pdparams": Pdparams, "safetensors": Safetensors, "pth": Pth, "pictures": Images,
    "args": ArgsJson, "logs": RunLogs,
}  # fmt: skip


def feed(kind: Kind, count: int, seed: int) -> tuple[int, int]:
    """Give `count` inputs to a reader; return how many it read and how many it refused."""
    draw = random.Random(seed)
    refused = 0
    for number in range(count):
        contents = kind.draw_input(number, draw)
        kind.path.write_bytes(contents)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            with watched():
                kind.read()
        except UserError as error:
            refused += 1
            assert number >= len(kind.valid), error
            assert not isinstance(error.__cause__, MemoryError) or isinstance(kind, Images), error
        except BaseException:
            print(f"{type(kind).__name__} {number}: {contents[:300]!r}", file=sys.stderr)
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert not kind.trace.exists(), contents[:300]
    return count - refused, refused


_watching = False


@contextlib.contextmanager
def watched():
    """Have what a reader has no business to do raise Stopped."""
    global _watching
    _watching = True
    try:
        yield
    finally:
        _watching = False


def _audit(event: str, arguments: tuple) -> None:
    if not _watching:
        return
    refused = False
    if event == "open" and isinstance(arguments[2], int):
        refused = arguments[2] & (os.O_WRONLY | os.O_RDWR)
    elif event in ("exec", "compile"):
        file = arguments[0].co_filename if event == "exec" else arguments[1]
        refused = not str(file).startswith((sys.prefix, sys.base_prefix))  # else a library's import
    if refused or event.startswith(FORBIDDEN):
        raise Stopped(f"{event} {arguments!r}"[:300])


def _too_slow(*_: object) -> None:
    raise Stopped(f"longer than {SECONDS} s")


def limit() -> Callable[[], int]:
    """Bound this process's memory; return what tells its highest use in bytes."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata
    signal.signal(signal.SIGALRM, _too_slow)
    with tempfile.TemporaryDirectory() as scratch:
        kinds = {}
        for name in args.kinds:
            folder = Path(scratch) / name
            folder.mkdir()
            kinds[name] = KINDS[name](folder)
        for kind in kinds.values():  # what is imported at the first use, is now
            feed(kind, len(kind.valid), args.seed)
        sys.addaudithook(_audit)
        peak = limit()
        before = peak()
        for name, kind in kinds.items():
            read, refused = feed(kind, args.inputs, args.seed)
            grown = (peak() - before) >> 20
            print(f"{name}: {read} read, {refused} refused, {grown} MiB more at the most")


if __name__ == "__main__":
    main()
