"""Exported models: written atomically, and only where they compute what the model computes."""

import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple

import numpy as np

from common.data.folder import FolderIndex
from common.inference.metadata import ModelMetadata
from common.paths import ROOT
from portproof.numeric.exported import TOLERANCE, relative_difference
from portproof.system.atomic import writing
from portproof.system.errors import UserError, explained

METADATA_FILE = "facts.json"  # in an export that has files of its own
BATCHES = (1, 8)  # the model was traced with neither: the batch must be free
REPEATS = 7  # timings of each, of which the median counts

Run = Callable[[np.ndarray], np.ndarray]  # images [N, 3, S, S], float32 -> logits [N, C], float32


class Exported(NamedTuple):
    """An exported model, opened: what runs it, and what it says of itself."""

    run: Run
    facts: ModelMetadata | None
    input_size: int | None  # width and height of its input in pixels; None: any


class Difference(Exception):
    """The exported model does not say what the live one says."""


class Check(NamedTuple):
    """One comparison: the largest difference over the largest logit, and seconds an image."""

    batch: int
    difference: float
    live: float
    exported: float

    def __str__(self) -> str:
        return (
            f"batch {self.batch}: largest relative difference {self.difference:.2g}; "
            f"live {1000 * self.live:.2f} ms an image, exported {1000 * self.exported:.2f} ms"
        )


def require(package: str) -> ModuleType:
    """Import a package of the extra `export`. Raises UserError, which says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"this needs {package}, which is not installed; install it by: "
            f"pip install --editable '{ROOT}[export]'"
        ) from error


def check(live: Run, exported: Run, images: np.ndarray) -> list[Check]:
    """Compare and time both on images [N, 3, S, S]. Raises Difference where logits differ."""
    checks = []
    for batch in BATCHES:
        chosen = images[np.arange(batch) % len(images)]
        difference = relative_difference(live(chosen), exported(chosen))
        if not difference <= TOLERANCE:  # a NaN too
            raise Difference(
                f"the exported model differs from the live one by {difference:.2g} of the largest "
                f"logit at batch {batch}, where rounding is below {TOLERANCE:g}; nothing is kept"
            )
        checks.append(Check(batch, difference, *_time(live, exported, chosen)))
    return checks


def _time(live: Run, exported: Run, images: np.ndarray) -> tuple[float, float]:
    """Return the median seconds an image of both, in turn; both have run before."""
    seconds: dict[Run, list[float]] = {live: [], exported: []}
    for _ in range(REPEATS):
        for run, taken in seconds.items():
            start = time.perf_counter()
            run(images)
            taken.append((time.perf_counter() - start) / len(images))
    return statistics.median(seconds[live]), statistics.median(seconds[exported])


def spread(index: FolderIndex, count: int) -> FolderIndex:
    """Return `count` images of an index (all where it has fewer), evenly spread over it."""
    if len(index) <= count:
        return index
    return index.only([i * len(index) // count for i in range(count)])


@contextmanager
def whole_export(target: Path) -> Iterator[Path]:
    """Give a path of the same name to write a file or folder to; it becomes `target` at the end.

    Where anything is raised, `target` stays as it was. Raises UserError where the disk cannot be
    written to, or where `target` is a folder that is no export.
    """
    if target.is_dir() and not (target / METADATA_FILE).is_file():
        raise UserError(f"{target}: a folder that is no export; name another --output")
    hidden, parent = f".{target.name}.", target.absolute().parent  # on the same disk
    with writing(target):
        folder = TemporaryDirectory(prefix=hidden, dir=parent, ignore_cleanup_errors=True)
    with folder:
        partial = Path(folder.name) / target.name
        try:
            yield partial
        except UserError as error:  # the user knows the target's name only
            raise UserError(str(error).replace(str(partial), str(target))) from error
        with writing(target):
            for file in partial.rglob("*") if partial.is_dir() else [partial]:
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
            if target.is_dir():  # a folder takes the place of an empty name only
                os.replace(target, Path(folder.name) / "old")
            os.replace(partial, target)


def read_file(path: Path, most: int = -1) -> bytes:
    """Return the first `most` bytes of a file in an export. Raises UserError without any."""
    with explained(f"{path}: cannot be read", "export anew", OSError), open(path, "rb") as file:
        contents = file.read(most)
    if not contents:
        raise UserError(f"{path}: the file is empty; export anew")
    return contents


def size_mb(path: Path) -> float:
    """Return the size of a file or of all files in a folder in megabytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6
