"""Image files: read as RGB, and listed by class."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from portproof.system.errors import UserError, explained, show

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
# What an image may be, whatever its ending says. Pillow knows more kinds; one of them, PostScript,
# it gives to another program to run.
KINDS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")


def read_rgb(path: str | Path) -> Image.Image:
    """Return an image as 8-bit RGB, not turned as its EXIF data say. Raises UserError."""
    with readable(path), open(path, "rb") as file, Image.open(file, formats=KINDS) as image:
        return image.convert("RGB")


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Turn whatever is raised while an image is read into a UserError."""
    with explained(f"{show(path)}: cannot be read as an image", "replace the file or delete it"):
        try:
            yield
        except UnidentifiedImageError:  # its text has the address of the file
            raise ValueError("not an image, or its header is damaged") from None


def list_splits(folder: Path, splits: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Return the image files in FOLDER/<split>/<class>/*, classes and files sorted by name.

    Raises UserError where a class is empty or not in all splits, or a file no image by its name.
    """
    files = {split: list_classes(folder / split) for split in splits}
    for split, other in itertools.permutations(splits, 2):
        more = sorted(set(files[split]) - set(files[other]))
        if more:
            raise UserError(f"{show(folder / split / more[0])}: {other} has no such class")
    return files


def list_classes(folder: Path) -> dict[str, list[str]]:
    """Return the image files of one split by class. Raises UserError as `list_splits`."""
    where = show(folder)
    if not folder.is_dir():
        root = show(folder.parent)
        layout = f"{root}/train/<class>/* and {root}/val/<class>/*"
        raise UserError(f"{where}: there is no such folder; lay the images out as {layout}")
    names = [name for name in listed(folder) if (folder / name).is_dir()]
    if not names:
        raise UserError(f"{where}: no images here; it needs one folder for each class")
    classes = {}
    for name in names:
        files = [str(folder / name / file) for file in listed(folder / name)]
        others = [file for file in files if not file.lower().endswith(ENDINGS)]
        if not files:
            where = show(folder / name)
            raise UserError(f"{where}: a class with no images; add some or delete the folder")
        if others:
            raise UserError(f"{show(others[0])}: no image by its name ({' '.join(ENDINGS)})")
        classes[name] = files
    return classes


def listed(folder: Path) -> list[str]:
    """Return the names in a folder, sorted, without the system's own files."""
    names = sorted(os.listdir(folder))
    return [n for n in names if not n.startswith(".") and n.lower() not in SYSTEM_FILES]
