"""Small archives of the same structure as the public ones, and a server on loopback for them."""

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

CIFAR_CLASSES = ["airplane", "automobile", "bird"]


def image(number: int, size: int = 40) -> bytes:
    """Return a JPEG file of its own colour for each number."""
    file = io.BytesIO()
    colour = (number * 37 % 256, number * 91 % 256, 128)
    Image.new("RGB", (size + number % 7, size), colour).save(file, "JPEG")
    return file.getvalue()


def write_tar(path: Path, contents: dict[str, bytes], mode: str = "w") -> str:
    """Write a tar of named files; return its MD5."""
    with tarfile.open(path, mode) as tar:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return md5(path.read_bytes())


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def mat(**values: object) -> bytes:
    file = io.BytesIO()
    savemat(file, values)
    return file.getvalue()


def write_cifar10(folder: Path) -> str:
    """Write cifar-10-python.tar.gz; return Python that makes torchvision expect it."""
    draw = np.random.default_rng(0)
    batches = {}
    for name, count in [*((f"data_batch_{n}", 6) for n in range(1, 6)), ("test_batch", 6)]:
        labels = [number % 3 for number in range(count)]
        data = draw.integers(0, 256, (count, 3072)).astype(np.uint8)
        batches[name] = pickle.dumps({"data": data, "labels": labels}, 2)
    batches["batches.meta"] = pickle.dumps({"label_names": CIFAR_CLASSES}, 2)
    named = {f"cifar-10-batches-py/{name}": data for name, data in batches.items()}
    digest = write_tar(folder / "cifar-10-python.tar.gz", named, "w:gz")
    return f"""
from torchvision.datasets import CIFAR10
CIFAR10.url = BASE + "cifar-10-python.tar.gz"
CIFAR10.tgz_md5 = {digest!r}
CIFAR10.train_list = {[[n, md5(d)] for n, d in batches.items() if n.startswith("data")]}
CIFAR10.test_list = {[["test_batch", md5(batches["test_batch"])]]}
CIFAR10.meta = {{**CIFAR10.meta, "md5": {md5(batches["batches.meta"])!r}}}
"""


def write_imagenette(folder: Path) -> str:
    contents = {"imagenette2-320/noisy_imagenette.csv": b"path,label\n"}
    for split, count in (("train", 3), ("val", 2)):
        for wnid in ("n01440764", "n03394916"):
            for n in range(count):
                contents[f"imagenette2-320/{split}/{wnid}/{wnid}_{n}.JPEG"] = image(n)
    digest = write_tar(folder / "imagenette2-320.tgz", contents, "w:gz")
    return f"""
from torchvision.datasets import Imagenette
Imagenette._ARCHIVES = {{"320px": (BASE + "imagenette2-320.tgz", {digest!r})}}
"""


def write_flowers102(folder: Path) -> str:
    """Twelve images of classes 1, 2 and 102; four in each split."""
    images = {f"jpg/image_{n:05d}.jpg": image(n) for n in range(1, 13)}
    splits = {"trnid": range(1, 4), "valid": range(4, 7), "tstid": range(7, 13)}
    splits = {name: np.array([numbers]) for name, numbers in splits.items()}
    files = {"imagelabels.mat": mat(labels=np.array([[1, 2, 102] * 4])), "setid.mat": mat(**splits)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    table = {
        "image": ("102flowers.tgz", write_tar(folder / "102flowers.tgz", images, "w:gz")),
        "label": ("imagelabels.mat", md5(files["imagelabels.mat"])),
        "setid": ("setid.mat", md5(files["setid.mat"])),
    }
    return f"""
from torchvision.datasets import Flowers102
Flowers102._download_url_prefix = BASE
Flowers102._file_dict = {table!r}
"""


WRITERS = {
    "cifar10": write_cifar10, "imagenette": write_imagenette, "flowers102": write_flowers102,
}  # fmt: skip


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on loopback; give the address and the list of the requests."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", requests
        finally:
            server.shutdown()
            thread.join()
