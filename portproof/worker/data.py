"""What a port's loader gives, and how each image was made: read twice, the second time watched.

The first reading goes as training does. The second goes without worker processes, so that
Pillow's functions can be exchanged and watched in this one.
"""

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from portproof.backends import backend
from portproof.port import Settings
from portproof.system.errors import UserError
from portproof.worker.job import Job
from portproof.worker.port_file import PortFile
from portproof.worker.source import Report, Stack, calling_line, lines_noted


def record_batches(job: Job, split: str, epochs: int, traced: bool) -> Report:
    """Write the images of batch N as batch-N.npy [N, ...], as they come; return all the rest.

    `sizes` and `labels` are lists for each epoch; `label_dtype` and `label_shape` (of a sample) are
    None without labels; `classes` and `paths` are those of samples(), or None; `facts` and `orders`
    those of Watch. `again` is the number of samples with other bits in the image at the second
    reading, None where batches have other sizes. `ran`: the lines that run, if `traced`.
    """
    port = job.port
    made: Stack = []
    ran: Stack = []
    with lines_noted(made, traced):  # here most ports make their loaders
        about = port.samples(split, job.settings) if port.has("samples") else {}
    report = keep(job, split, epochs)
    watch = Watch(epochs)
    with watch.watching(port), lines_noted(ran, traced):
        report["again"] = compare(job, split, watch)
    report |= {"classes": about.get("classes"), "paths": about.get("paths")}
    report |= {"facts": watch.facts, "orders": watch.orders, "version": backend.VERSION}
    return report | {"tells_draws": port.has("listen_to_draws"), "ran": ran + made}


def keep(job: Job, split: str, epochs: int) -> Report:
    """Read with the settings as they are, and write the images down."""
    report = {"sizes": [], "labels": [], "label_dtype": None, "label_shape": None}
    numbers = count()
    for epoch in range(epochs):
        report["sizes"].append([])
        report["labels"].append([])
        for images, labels in read(job, split, epoch, job.settings):
            np.save(batch_file(job.folder, next(numbers)), images)
            report["sizes"][-1].append(len(images))
            if labels is not None:
                report["labels"][-1] += labels.tolist()
                if report["label_dtype"] is None:
                    report |= {"label_dtype": str(labels.dtype), "label_shape": labels.shape[1:]}
    return report


def compare(job: Job, split: str, watch: "Watch") -> int | None:
    """Read again without workers; return how many samples are not what `keep` wrote of them."""
    changed, same_sizes = 0, True
    files = iter(sorted(job.folder.glob("batch-*.npy")))
    for epoch in range(len(watch.orders)):
        watch.epoch = epoch
        for images, _ in read(job, split, epoch, job.settings | {"workers": 0}):
            file = next(files, None)
            before = np.load(file, mmap_mode="r") if file else np.empty(0)
            if before.shape == images.shape:
                pairs = zip(before, images, strict=True)
                changed += sum(a.tobytes() != b.tobytes() for a, b in pairs)
            else:
                same_sizes = False
    return changed if same_sizes and next(files, None) is None else None


def read(job: Job, split: str, epoch: int, settings: Settings) -> Iterator[tuple]:
    """Yield images and labels, both arrays, of an epoch: by these names, else the first two.

    None in place of labels that are not there. Raises UserError where the port yields no dict.
    """
    for batch in job.port.batches(split, epoch, settings):
        if not isinstance(batch, dict):
            kind = type(batch).__name__
            raise UserError(f"{job.port.path}, batches(): gives a {kind}, not a dict by name")
        first, second, *_ = [*batch.values(), None, None]
        images, labels = batch.get("images", first), batch.get("labels", second)
        yield np.asarray(images), None if labels is None else np.asarray(labels)


def batch_file(folder: Path, number: int) -> Path:
    """Return the file with the images of one batch, counted over all epochs."""
    return folder / f"batch-{number:06d}.npy"


class Watch:
    """Notes what Pillow is asked to do, whoever asks, and what a port tells of its draws.

    Each image file that Pillow opens begins one of `facts`: `path`; `decoded`, the image as it was
    converted to another mode, and `entered`, as it went into the first step (see describe_image);
    `steps`, each with its name, what was asked for, and FILE:LINE of the port's code; `draws` by
    name: arguments, result and line. `orders`: the draw of each epoch's order.
    """

    def __init__(self, epochs: int) -> None:
        self.facts: list[Report] = []
        self.orders: list[Report | None] = [None] * epochs
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
        line = calling_line(beyond=sys._getframe(1).f_code.co_filename)
        draw = {"arguments": dict(arguments), "line": line}
        if name == "order":
            self.orders[self.epoch] = draw
        elif self.facts:
            self.facts[-1]["draws"][name] = draw | {"result": drawn}

    def exchange(self, owner: Any, name: str, stack: ExitStack) -> None:
        """Note each call of a function of Pillow's, but by Pillow, until the stack is left."""
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
        if name == "convert" and not fact["steps"]:
            fact["decoded"] = describe_image(returned)
        elif name != "convert":
            if not fact["steps"]:
                fact["entered"] = describe_image(arguments["self"])
            step = describe_step(name, arguments)
            fact["steps"].append([name, step, calling_line()])


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


def describe_image(image: Any) -> Report:
    """Return mode, width and height of an image or of its pixels [H, W, ...], and their SHA-256."""
    pixels = np.asarray(image)
    return {
        "mode": getattr(image, "mode", str(pixels.dtype)),
        "size": [pixels.shape[1], pixels.shape[0]] if pixels.ndim > 1 else list(pixels.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest(),
    }
