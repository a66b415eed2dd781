"""What a port's loader gives, and how each image was made: read twice, the second time watched.

The first reading goes as training does, with worker processes, and keeps the numbers. The second
goes without them, so that Pillow can be watched in this process where the port uses it; it also
tells whether the loader gives the same when it is read again. Pillow's functions are exchanged
meanwhile, and none of the port's.
"""

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from portproof.system.errors import UserError
from portproof.worker.job import Job
from portproof.worker.port_file import PortFile
from portproof.worker.source import Stack, calling_line, lines_noted


def record_batches(job: Job, split: str, epochs: int, traced: bool) -> dict[str, Any]:
    """Write the images of batch N as batch-N.npy [N, ...], as they come; return all the rest.

    `sizes` and `labels` are lists for each epoch, of the batches and of the samples; `label_dtype`
    and `label_shape` (without the batch) are those of the first batch, None without labels.
    `classes` and `paths` are those of samples(), None where the port has none. `facts` tell how
    each sample was made, `orders` how each epoch's order was drawn (see Watch); `again` is the
    number of samples whose image is not the same, bit for bit, at the second reading, None where
    the batches have other sizes. `traced`: `ran` are the lines that run then, the last first.
    """
    made: Stack = []
    note = partial(lines_noted, job.backend) if traced else nullcontext
    with note(made):  # here most ports make their loaders
        about = job.port.samples(split, job.settings) if job.port.has("samples") else {}
    report = keep(job, split, epochs)
    report |= {name: about.get(name) for name in ("classes", "paths")}
    watch = Watch(job.backend, epochs)
    ran: Stack = []
    with watch.watching(job.port), note(ran):
        report["again"] = compare(job, split, watch)
    report |= {"facts": watch.facts, "orders": watch.orders}
    report["tells_draws"] = job.port.has("listen_to_draws")
    return report | {"version": job.backend.VERSION, "ran": ran + made}


def keep(job: Job, split: str, epochs: int) -> dict[str, Any]:
    """Read with the settings as they are, and write the images down."""
    report = {"sizes": [], "labels": [], "label_dtype": None, "label_shape": None}
    number = 0
    for epoch in range(epochs):
        report["sizes"].append([])
        report["labels"].append([])
        for images, labels in read(job, split, epoch, job.settings):
            if number == 0 and labels is not None:
                report["label_dtype"] = str(labels.dtype)
                report["label_shape"] = list(labels.shape[1:])
            np.save(batch_file(job.folder, number), images)
            report["sizes"][-1].append(len(images))
            report["labels"][-1] += [] if labels is None else labels.tolist()
            number += 1
    return report


def compare(job: Job, split: str, watch: "Watch") -> int | None:
    """Read again without workers; return how many samples are not what `keep` wrote of them."""
    changed, number, same_sizes = 0, 0, True
    for epoch in range(len(watch.orders)):
        watch.epoch = epoch
        for images, _ in read(job, split, epoch, job.settings | {"workers": 0}):
            file = batch_file(job.folder, number)
            before = np.load(file, mmap_mode="r") if file.exists() else None
            if before is None or before.shape != images.shape:
                same_sizes = False
            else:
                pairs = zip(before, images, strict=True)
                changed += sum(a.tobytes() != b.tobytes() for a, b in pairs)
            number += 1
    same_sizes = same_sizes and not batch_file(job.folder, number).exists()
    return changed if same_sizes else None


def read(
    job: Job, split: str, epoch: int, settings: dict[str, Any]
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield images and labels of an epoch: the entries of these names, else the first two.

    Raises UserError where the port yields no dict.
    """
    for batch in job.port.batches(split, epoch, settings):
        if not isinstance(batch, dict):
            kind = type(batch).__name__
            raise UserError(f"{job.port.path}, batches(): gives a {kind}, not a dict by name")
        first, second = ([*batch, None, None])[:2]
        images = batch.get("images", batch.get(first))
        labels = batch.get("labels", batch.get(second))
        yield np.asarray(images), None if labels is None else np.asarray(labels)


def batch_file(folder: Path, number: int) -> Path:
    """Return the file with the images of one batch, counted over all epochs."""
    return folder / f"batch-{number:06d}.npy"


class Watch:
    """Notes what Pillow is asked to do, whoever asks, and what a port tells of its draws.

    Each image file that Pillow opens in this process begins one of `facts`, which holds what of
    these could be seen: `path`, the file; `decoded`, the image as it was converted to another mode,
    and `entered`, as it went into the first step (mode, size, SHA-256 of the pixels); `steps`, the
    crops, resizes and mirrorings in their order, each with its name, what was asked for, and
    FILE:LINE of the port's code; `draws` by name: arguments, result and line. `orders`: the draw of
    each epoch's order.
    """

    def __init__(self, backend: ModuleType, epochs: int) -> None:
        self.backend = backend
        self.facts: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any] | None] = [None] * epochs
        self.epoch = 0  # that is read
        self.depth = 0  # of Pillow's functions that call each other

    @contextmanager
    def watching(self, port: PortFile) -> Iterator[None]:
        """Within, listen to the port and exchange Pillow's functions, where there are any."""
        with ExitStack() as stack:
            if port.has("listen_to_draws"):
                port.listen_to_draws(self.note_draw)
                stack.callback(port.listen_to_draws, None)
            with suppress(ImportError):
                from PIL import Image

                self.exchange(Image, "open", stack)
                for name in ("convert", "crop", "resize", "transpose"):
                    self.exchange(Image.Image, name, stack)
            yield

    def note_draw(self, name: str, arguments: dict[str, Any], drawn: Any) -> None:
        """Note a draw for the epoch, or for the image that was opened last."""
        line = calling_line(self.backend, beyond=sys._getframe(1).f_code.co_filename)
        draw = {"arguments": dict(arguments), "line": line}
        if name == "order":
            self.orders[self.epoch] = draw
        elif self.facts:
            self.facts[-1]["draws"][name] = draw | {"result": drawn}

    def exchange(self, owner: Any, name: str, stack: ExitStack) -> None:
        """Have each call of a function of Pillow's noted until the stack is left.

        Not where Pillow itself calls it.
        """
        original = getattr(owner, name)
        parameters = inspect.signature(original)

        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            try:
                returned = original(*args, **kwargs)
            finally:
                self.depth -= 1
            if self.depth == 0:
                arguments = parameters.bind(*args, **kwargs)
                arguments.apply_defaults()
                self.note_call(name, arguments.arguments, returned)
            return returned

        stack.callback(setattr, owner, name, original)
        setattr(owner, name, call)

    def note_call(self, name: str, arguments: dict[str, Any], returned: Any) -> None:
        """Note that an image was opened, or what was done with the one that was opened last."""
        if name == "open":
            self.facts.append({"path": path_of(arguments["fp"]), "steps": [], "draws": {}})
        if name == "open" or not self.facts:
            return
        fact = self.facts[-1]
        if name != "convert":
            if not fact["steps"]:
                fact["entered"] = describe_image(arguments["self"])
            line = calling_line(self.backend)
            fact["steps"].append([name, describe_step(name, arguments), line])
        elif not fact["steps"]:
            fact["decoded"] = describe_image(returned)


def describe_step(name: str, arguments: dict[str, Any]) -> Any:
    """Return what was asked for: a box of crop, size and filter of resize, a kind of transpose."""
    from PIL import Image

    if name == "crop":
        return arguments["box"] and [round(side) for side in arguments["box"]]
    if name == "transpose":
        return Image.Transpose(arguments["method"]).name
    kind = arguments["resample"]
    kind = Image.Resampling.BICUBIC if kind is None else Image.Resampling(kind)
    return [list(arguments["size"]), kind.name]


def path_of(file: Any) -> str | None:
    """Return the path of what is opened: a path, or a file that was opened by one."""
    name = file if isinstance(file, (str, bytes, os.PathLike)) else getattr(file, "name", None)
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else None


def describe_image(image: Any) -> dict[str, Any]:
    """Return mode, width and height of an image or of its pixels [H, W, ...], and their SHA-256."""
    pixels = np.asarray(image)
    return {
        "mode": getattr(image, "mode", str(pixels.dtype)),
        "size": [pixels.shape[1], pixels.shape[0]] if pixels.ndim > 1 else list(pixels.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest(),
    }
