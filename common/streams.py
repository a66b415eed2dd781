"""What a tree's loader gives, written down sample by sample, and how each sample was made.

Two readings of the same loader. The first goes as training goes, with worker processes, and keeps
the numbers. The second goes without workers, so that what happens to a picture on its way can be
noted in this process; it also tells whether the loader gives the same when it is read again.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from common import draws

ReadBatches = Callable[[Any, int], Iterator[tuple[Any, Any]]]  # of datasets/folder.py


def record(loader: Any, read_batches: ReadBatches, epochs: int, folder: Path) -> dict:
    """Write the images of batch N as FOLDER/batch-N.npy, as they come; return all the rest.

    `sizes` and `labels` are lists for each epoch, of the batches and of the samples; `label_dtype`
    and `label_shape` (without the batch) are those of the first batch.
    """
    found = {"sizes": [], "labels": [], "label_dtype": None, "label_shape": None}
    number = 0
    for epoch in range(epochs):
        found["sizes"].append([])
        found["labels"].append([])
        for images, labels in read_batches(loader, epoch):
            images, labels = np.asarray(images), np.asarray(labels)
            if number == 0:
                found["label_dtype"] = str(labels.dtype)
                found["label_shape"] = list(labels.shape[1:])
            np.save(batch_file(folder, number), images)
            found["sizes"][-1].append(len(images))
            found["labels"][-1] += labels.ravel().tolist()
            number += 1
    return found | describe_index(loader)


def batch_file(folder: Path, number: int) -> Path:
    """Return the file with the images of one batch, [N, 3, S, S], counted over all epochs."""
    return folder / f"batch-{number:06d}.npy"


def describe_index(loader: Any) -> dict:
    """Return the classes and the paths of the folder's index; None where the tree has no index."""
    index = getattr(loader.dataset, "index", None)
    classes, paths = getattr(index, "classes", None), getattr(index, "paths", None)
    return {
        "classes": [str(name) for name in classes] if classes is not None else None,
        "paths": [str(path) for path in paths] if paths is not None else None,
    }


def watch(loader: Any, module: ModuleType, epochs: int, folder: Path) -> dict:
    """Read a loader that has no workers again; return `facts`, one for each sample, and `again`.

    `module` is the tree's datasets.folder. `again` is the number of samples whose
    image is not that of the first reading, bit for bit, at the same place; None where the number of
    batches is another.
    """
    changed, number, same_batches = 0, 0, True
    with watching(loader.dataset, module) as facts:
        for epoch in range(epochs):
            for images, _ in module.read_batches(loader, epoch):
                file = batch_file(folder, number)
                before = np.load(file, mmap_mode="r") if file.exists() else None
                images = np.asarray(images)
                if before is None or before.shape != images.shape:
                    same_batches = False
                else:
                    pairs = zip(before, images, strict=True)
                    changed += sum(a.tobytes() != b.tobytes() for a, b in pairs)
                number += 1
    same_batches = same_batches and not batch_file(folder, number).exists()
    return {"facts": facts, "again": changed if same_batches else None}


@contextmanager
def watching(dataset: Any, module: ModuleType) -> Iterator[list[dict]]:
    """Within, each sample that `dataset` loads in this process adds a fact to the list given.

    A fact holds what of these could be seen: `index`, the place in the folder that was asked for;
    `path`, the file that was read; `decoded`, what read_rgb gave (mode, size, SHA-256 of its
    bytes); `crop` and `flip`, the calls of common.draws and what they returned; `steps`, the crops,
    resizes and mirrorings that Pillow was asked for, in their order; and `entered`, the picture
    before the first of these.
    """
    facts: list[dict] = []
    asked = type(dataset).__getitem__

    def get_item(self, key):
        index = key[-1] if isinstance(key, (tuple, list)) else key
        facts.append({"index": int(index), "steps": []})
        return asked(self, key)

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(type(dataset), "__getitem__", get_item))
        for name, note in NOTES.items():
            for owner in (module, draws):  # whichever of the two the tree calls it from
                if callable(getattr(owner, name, None)):
                    _wrap(patches, owner, name, note, facts)
        _wrap_pillow(patches, facts)
        yield facts


def _wrap(patches: ExitStack, owner: Any, name: str, note: Callable, facts: list[dict]) -> None:
    """Let `owner.name` tell the last fact of each call and of what it returned."""
    own = getattr(owner, name)

    def call(*given, **named):
        returned = own(*given, **named)
        if facts:
            note(facts[-1], given, named, returned)
        return returned

    patches.enter_context(mock.patch.object(owner, name, call))


def _note_read(fact: dict, given: tuple, named: dict, returned: Any) -> None:
    fact["path"] = str(given[0] if given else next(iter(named.values())))
    fact["decoded"] = describe_picture(returned)


def _note_call(name: str) -> Callable:
    def note(fact: dict, given: tuple, named: dict, returned: Any) -> None:
        arguments = {"given": list(given), **named}
        fact[name] = {"arguments": arguments, "drawn": returned}

    return note


NOTES = {"read_rgb": _note_read, "random_crop": _note_call("crop"), "flip": _note_call("flip")}


def _wrap_pillow(patches: ExitStack, facts: list[dict]) -> None:
    """Note what Pillow is asked to do to the picture, whoever asks; not what it asks of itself."""
    depth = 0

    def wrap(name: str, describe: Callable) -> None:
        own = getattr(Image.Image, name)

        def call(picture, *given, **named):
            nonlocal depth
            depth += 1
            try:
                returned = own(picture, *given, **named)
            finally:
                depth -= 1
            if facts and depth == 0:
                if not facts[-1]["steps"]:
                    facts[-1]["entered"] = describe_picture(picture)
                facts[-1]["steps"].append([name, describe(*given, **named)])
            return returned

        patches.enter_context(mock.patch.object(Image.Image, name, call))

    wrap("crop", lambda box=None: box and [round(side) for side in box])
    wrap("transpose", lambda method: Image.Transpose(method).name)
    wrap(
        "resize",
        lambda size, resample=None, box=None, reducing_gap=None: [
            list(size),
            Image.Resampling(Image.Resampling.BICUBIC if resample is None else resample).name,
        ],
    )


def describe_picture(picture: Any) -> dict:
    """Return the mode, width and height of a decoded picture, and the SHA-256 of its bytes."""
    pixels = np.asarray(picture)
    return {
        "mode": getattr(picture, "mode", str(pixels.dtype)),
        "size": [pixels.shape[1], pixels.shape[0]] if pixels.ndim > 1 else list(pixels.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest(),
    }
