"""Decode every image before training, and leave out or name the bad ones.

They leave the index before anything is drawn, so both trees see the same images in the same order.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL

from common.data.folder import BadImage, FolderIndex, cache_name, file_key
from common.data.image_files import find_fault
from common.data.parallel import on_all_cores
from common.paths import CACHE_DIR
from portproof.system import locks
from portproof.system.atomic import replace_atomically
from portproof.system.errors import UserError, explained, show


def leave_out_bad(
    train: FolderIndex | None, val: FolderIndex, most: int
) -> tuple[FolderIndex | None, FolderIndex]:
    """Return the indices without the images that cannot be decoded, which are in their `bad`.

    Raises UserError where both splits together have more than `most`, or a class has none left.
    """
    indices = [check_split(index) for index in (train, val) if index is not None]
    bad = [image for index in indices for image in index.bad]
    for image in bad:
        print(f"bad image: {show(image.path)}: {image.reason}")
    counted = f"{len(bad)} bad image{'' if len(bad) == 1 else 's'}"
    if len(bad) > most:
        allowed = f" are more than --skip-bad {most}" if most else ""
        raise UserError(
            f"{counted}{allowed} (first {show(bad[0].path)}: {bad[0].reason}); mend "
            f"or delete those listed above, or leave them out by --skip-bad {len(bad)}"
        )
    for index in indices:
        empty = set(range(len(index.classes))) - set(index.labels)
        if empty:
            folder = index.folder() / index.classes[min(empty)]
            raise UserError(
                f"{show(folder)}: all images of this class are bad; add good ones, or delete the "
                "class from train and val"
            )
    if bad:
        print(f"left out: {counted}")
    return None if train is None else indices[0], indices[-1]


def check_split(index: FolderIndex) -> FolderIndex:
    """Return the index without its bad images; good ones are not decoded again till they change."""
    cache = CACHE_DIR / "verified" / f"{cache_name(index.folder())}.npy"
    what, advice = f"{cache.parent}: cannot be written", "allow it, or leave out --verify-data"
    with explained(what, advice, OSError), locks.locked(cache):
        known = _read_cache(cache)  # a second run has waited, and has nothing to decode
        keys, faults = _check_all(index.paths, known)
        good = np.unique(np.delete(keys, list(faults)))
        if not np.array_equal(good, known):
            with replace_atomically(cache) as partial, open(partial, "wb") as file:
                np.save(file, good)
    if not faults:
        return index
    kept = [i for i in range(len(index)) if i not in faults]
    return index.only(kept, [BadImage(index.paths[i], fault) for i, fault in faults.items()])


def _read_cache(file: Path) -> np.ndarray:
    """Return the keys of the images known to be good, sorted: [N], uint64."""
    try:
        known = np.load(file, allow_pickle=False)
    except Exception:  # none yet, or a damaged one: every image is decoded again
        return np.zeros(0, np.uint64)
    usable = isinstance(known, np.ndarray) and known.dtype == np.uint64 and known.ndim == 1
    return known if usable else np.zeros(0, np.uint64)


def _check_all(paths: Sequence[str], known: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Return the keys of the images, [N], uint64, and why those are bad that are, by number."""
    known_keys = set(known.tolist())

    def check(i: int) -> tuple[int, str | None]:
        key, fault = _look_at(paths[i])
        if fault is None and key not in known_keys:
            fault = find_fault(paths[i])
        return key, fault

    keys, faults = np.zeros(len(paths), np.uint64), {}
    for i, (key, fault) in enumerate(on_all_cores(check, len(paths), "verifying")):
        keys[i] = key
        if fault:
            faults[i] = fault
    return keys, faults


def _look_at(path: str) -> tuple[int, str | None]:
    """Return a key, which changes with the file or Pillow, and the fault if it is a plain one."""
    try:
        status = os.stat(path)
    except OSError as error:
        return 0, error.strerror
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        return 0, "not a file"
    if status.st_size == 0:
        return 0, "the file is empty (0 bytes)"
    return file_key(f"{PIL.__version__}\0{status.st_size}\0{status.st_mtime_ns}\0", path), None
