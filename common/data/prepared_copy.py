"""A prepared copy of an image folder: every image decoded and small, in one file of bytes.

    python -m common.data.prepared_copy DIR         # DIR/train and DIR/val; all options: --help

Reading it costs no decoding. A split is a folder, written atomically, with `pixels.bin` (images
[H, W, 3]), `records.npy` (where each is, by the keys in `keys.npy`) and `cache.json`.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from common.data.folder import FolderIndex, cache_name, file_key, index_data
from common.data.parallel import on_all_cores
from common.data.resizing import scaled_size, shorter_side
from common.networks import LARGEST_IMAGE, SMALLEST_IMAGE
from common.paths import AUTO, CACHE_DIR
from portproof.files.images import KINDS, read_rgb
from portproof.system import atomic_folders, errors
from portproof.system.command_line import Parser, add_options, whole
from portproof.system.errors import UserError, explained, show

VERSION = 1
WHAT = "cache"  # cache.json marks a complete folder
PIXELS, RECORDS, KEYS = "pixels.bin", "records.npy", "keys.npy"
RECORD = np.dtype(
    [
        ("offset", "<i8"),  # bytes
        ("height", "<i4"),  # of the copy, pixels
        ("width", "<i4"),
        ("full_height", "<i4"),  # of the file
        ("full_width", "<i4"),
        ("crc", "<u4"),  # CRC-32 of the bytes of the copy
        ("readable", "?"),  # that is, the file
    ]
)
RESERVE = 100 << 20  # bytes of the disk that are left free
OPTIONS = (
    ("data_path", "the image folder", Path, "DIR"),
    ("--size", "of the shorter sides: 256 for --image-size 224, and in proportion (256)",
     whole(SMALLEST_IMAGE, LARGEST_IMAGE), "PIXELS", 256),
    ("--output", "where it goes; train.py is then given --cache DIR (.cache/prepared)",
     Path, "DIR", Path(AUTO)),
    ("--check", "read the whole copy and look for damage"),
)  # fmt: skip


class PreparedCopy(NamedTuple):
    """The copies of the images of an index, in its order."""

    folder: Path
    size: int  # of the shorter sides, pixels; 0: there is no copy
    keys: np.ndarray  # [N], uint64
    records: np.ndarray  # [N], RECORD
    bytes: np.ndarray  # of the file, uint8

    def pixels(self, index: int) -> np.ndarray | None:
        """Return an image, [H, W, 3], uint8, to be read only; None: its file cannot be read."""
        offset, height, width, *_, readable = self.records[index].item()
        if not readable:
            return None
        return self.bytes[offset : offset + 3 * height * width].reshape(height, width, 3)

    def full_size(self, index: int) -> tuple[int, int]:
        """Return the width and height of the image in its file."""
        return self.records[["full_width", "full_height"]][index].item()

    def locate(self, keys: np.ndarray) -> np.ndarray:
        """Return where the images with these keys are here, [N], int64; -1: nowhere."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        order = np.argsort(self.keys, kind="stable")
        places = order[np.searchsorted(self.keys[order], keys).clip(max=len(order) - 1)]
        return np.where(self.keys[places] == keys, places, -1)


def open_split(index: FolderIndex, cache: Path, size: int) -> PreparedCopy:
    """Return the prepared images of an index; those that are new or changed are decoded first.

    `cache` is the folder of all splits, or auto. The shorter sides have `size` pixels; a copy in a
    folder that is named may be larger. Raises UserError where the copy is damaged, is too small, or
    cannot be written.
    """
    source = index.folder()
    if str(cache) == AUTO:
        cache = CACHE_DIR / "prepared" / f"{cache_name(source.parent)}-{size}"
    folder = cache / source.name
    keys = find_keys(index)
    what = f"{folder}: the prepared copy cannot be written or read"
    advice = "name a folder that you may write to by --cache DIR, or leave --cache out"
    with explained(what, advice, OSError):
        stored = _read(folder)
        if 0 < stored.size < size:
            raise UserError(
                f"{folder}: its images have {stored.size} pixels, and this run needs {size}; make "
                f"it anew: bash scripts/prepare_cache.sh {source.parent} --size {size} --output DIR"
            )
        if (stored.locate(keys) < 0).any():
            print(f"preparing a copy of {len(index)} images: {folder}", flush=True)
            build(index, keys, stored.size or size, stored)
            stored = _read(folder)
    return stored._replace(keys=keys, records=stored.records[stored.locate(keys)])


def find_keys(index: FolderIndex) -> np.ndarray:
    """Return a key for each image, [N], uint64, which changes with its name, size or time."""
    keys = np.empty(len(index), np.uint64)
    for number, path in enumerate(index.paths):
        try:
            status = os.stat(path)
            state = f"{status.st_size}\0{status.st_mtime_ns}\0"
        except OSError:  # reading it will say why
            state = ""
        name = "/".join(path.rsplit("/", 2)[-2:])  # class and file: the folder may move
        keys[number] = file_key(state, name)
    return keys


def _read(folder: Path) -> PreparedCopy:
    """Return the whole copy in a folder, an empty one where there is none of this version.

    Raises UserError where it is damaged.
    """
    try:
        stored = json.loads((folder / f"{WHAT}.json").read_text())
        known = stored["version"] == VERSION and stored["pillow"] == PIL.__version__
        size = int(stored["size"]) if known else 0
    except (OSError, ValueError, KeyError, TypeError):
        size = 0
    if not size:
        keys, records, pixels = (np.zeros(0, kind) for kind in (np.uint64, RECORD, np.uint8))
        return PreparedCopy(folder, 0, keys, records, pixels)
    advice = "delete the folder, and it will be made again"
    with explained(f"{folder}: the prepared copy is damaged", advice):
        keys = np.load(folder / KEYS, allow_pickle=False)
        records = np.load(folder / RECORDS, allow_pickle=False)
        pixels = _map(folder / PIXELS, "r")
        _check(records, keys, len(pixels))
    return PreparedCopy(folder, size, keys, records, np.asarray(pixels))


def _map(file: Path, mode: str) -> np.ndarray:
    """Return the bytes of a file, [N], uint8; an empty one cannot be mapped."""
    return np.memmap(file, np.uint8, mode) if file.stat().st_size else np.zeros(0, np.uint8)


def _check(records: np.ndarray, keys: np.ndarray, length: int) -> None:
    """Raise ValueError where records do not fit the keys or the file of `length` bytes."""
    if records.dtype != RECORD or keys.dtype != np.uint64 or records.shape != keys.shape:
        raise ValueError(f"{RECORDS} and {KEYS} do not fit each other")
    lengths = _lengths(records)
    ends = records["offset"] + lengths
    negative = any((records[name] < 0).any() for name in RECORD.names)
    if negative or int(lengths.sum()) != length or (ends > length).any():
        raise ValueError(f"{PIXELS} has {length} bytes, and not those that {RECORDS} says")


def build(index: FolderIndex, keys: np.ndarray, size: int, older: PreparedCopy) -> None:
    """Write the copies of all images in the place of an `older` copy, and take from that what fits.

    Raises UserError where the disk is too small, OSError.
    """
    description = {
        "version": VERSION,
        "size": size,
        "pillow": PIL.__version__,
        "pictures": len(index),
        "keys": hashlib.sha256(keys.tobytes()).hexdigest(),
    }

    fill = partial(_fill, index, keys, size, older)
    atomic_folders.make(older.folder, WHAT, description, fill)


def _fill(
    index: FolderIndex, keys: np.ndarray, size: int, older: PreparedCopy, folder: Path
) -> None:
    """Write the files of one split, in three passes: sizes, place on the disk, images."""
    records, places = np.zeros(len(index), RECORD), older.locate(keys)
    kept = places >= 0
    kept[kept] = older.records["readable"][places[kept]]
    records[kept] = older.records[places[kept]]

    def look(number: int) -> None:
        width, height = (0, 0) if kept[number] else _full_size(index.paths[number])
        if width:
            small_width, small_height = scaled_size(width, height, size)
            records[number] = (0, small_height, small_width, height, width, 0, False)

    for _ in on_all_cores(look, len(index), "looking at images"):
        pass
    lengths = _lengths(records)
    records["offset"] = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    free = shutil.disk_usage(folder).free
    if total + RESERVE > free:
        raise UserError(
            f"{folder.parent}: the prepared copy needs {total / 1e9:.1f} GB, and {free / 1e9:.1f} "
            "GB are free; free some space, or name another place by --cache DIR"
        )
    with open(folder / PIXELS, "wb") as file:
        file.truncate(total)
    pixels = _map(folder / PIXELS, "r+")

    def copy(number: int) -> None:
        path, place = index.paths[number], places[number]
        small = older.pixels(place) if kept[number] else _small(path, size)
        if small is not None:
            start, length = int(records["offset"][number]), int(lengths[number])
            pixels[start : start + length] = small.reshape(-1)
            records["crc"][number] = zlib.crc32(small)
            records["readable"][number] = True

    for _ in on_all_cores(copy, len(index), "copying images"):
        pass
    if isinstance(pixels, np.memmap):
        pixels.flush()
    np.save(folder / RECORDS, records)
    np.save(folder / KEYS, keys)


def _lengths(records: np.ndarray) -> np.ndarray:
    """Return the bytes of each copy, [N], int64."""
    return 3 * records["height"].astype(np.int64) * records["width"]


def _full_size(path: str) -> tuple[int, int]:
    """Return the width and height of an image by its header; 0, 0 where that cannot be read."""
    try:
        with open(path, "rb") as file, Image.open(file, formats=KINDS) as image:
            return image.size
    except Exception:  # Pillow's readers raise nearly anything on a damaged file
        return 0, 0


def _small(path: str, size: int) -> np.ndarray | None:
    """Return an image with `size` pixels on its shorter side, or None where it is unreadable."""
    try:
        return np.asarray(shorter_side(read_rgb(path), size))
    except UserError as error:
        print(f"left out of the copy: {error}")
        return None


def find_damage(prepared: PreparedCopy) -> int | None:
    """Return the place of the first image whose bytes have changed, None where none has."""
    for number, record in enumerate(prepared.records):
        pixels = prepared.pixels(number)
        if pixels is not None and zlib.crc32(pixels) != record["crc"]:
            return number
    return None


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="prepare_cache.sh",
        description="Make a prepared copy of the images in DIR/train and DIR/val, for --cache.",
    )
    add_options(parser, OPTIONS)
    args = parser.parse_args(argv)
    if not args.data_path.is_dir():
        parser.error(f"{args.data_path}: there is no such folder")
    splits = index_data(args.data_path.resolve(), need_train=False, strict=False)
    for index in filter(None, splits):
        prepared = open_split(index, args.output, args.size)
        damaged = find_damage(prepared) if args.check else None
        if damaged is not None:
            raise UserError(
                f"{prepared.folder}: the copy of {show(index.paths[damaged])} is damaged; delete "
                "the folder, and it will be made again"
            )
        gigabytes = len(prepared.bytes) / 1e9
        print(f"prepared: {prepared.folder} ({len(index)} images, {gigabytes:.3g} GB)")


if __name__ == "__main__":
    errors.run(main)
