"""Image files: read as RGB, and listed by class."""

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from portproof.system.errors import UserError, explained, show

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
# What an image may be, whatever its ending says. Pillow knows more kinds; one of them, PostScript,
# it gives to another program to run.
KINDS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")

LONGEST = 400  # times the shorter side; at 256 pixels of that, the image takes 79 MB


def read_rgb(path: str | Path) -> Image.Image:
    """Return an image as 8-bit RGB, not turned as its EXIF data say. Raises UserError."""
    with readable(path), open(path, "rb") as file, Image.open(file, formats=KINDS) as image:
        check_shape(image)
        return image.convert("RGB")


def check_shape(image: Image.Image) -> None:
    """Raise ValueError at an image that is made huge when its shorter side is made usual."""
    if max(image.size) > LONGEST * min(image.size):
        width, height = image.size
        raise ValueError(f"{width} x {height} pixels: one side is over {LONGEST} times the other")


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

    Raises UserError as `list_classes`, and where a class is not in all splits.
    """
    files = {split: dict(list_classes(folder / split)) for split in splits}
    check_classes(folder, files)
    return files


def check_classes(folder: Path, splits: Mapping[str, Collection[str]]) -> None:
    """Raise UserError where the splits of a folder, by name, have other classes."""
    every, lacks = set().union(*splits.values()), []
    for split, classes in splits.items():
        missing = sorted(every.difference(classes))
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            lacks.append(f"{split} lacks {', '.join(map(show, missing[:5]))}{more}")
    if lacks:
        raise UserError(
            f"{show(folder)}: train and val must have the same classes, else labels would not "
            f"mean the same in both: {'; '.join(lacks)}"
        )


def list_classes(folder: Path, strict: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield the classes of one split, each with its image files, both sorted by name.

    Raises UserError where a class is empty, where a file is no image by its name and, if `strict`,
    where a file is empty or missing.
    """
    where = show(folder)
    if not folder.is_dir():
        root = show(folder.parent)
        layout = f"{root}/train/<class>/* and {root}/val/<class>/*"
        raise UserError(f"{where}: there is no such folder; lay the images out as {layout}")
    names = sorted(entry.name for entry in _entries(folder) if _is_folder(entry))
    if not names:
        raise UserError(f"{where}: no images here; it needs one folder for each class")
    for name in names:
        files = sorted(f"{folder}/{name}/{entry.name}" for entry in _entries(folder / name))
        if not files:
            where = show(folder / name)
            raise UserError(f"{where}: a class with no images; add some or delete the folder")
        for file in files:
            _check_image(file, strict)
        yield name, files


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    """Yield what is in a folder, in no order, without the files of the system."""
    what, advice = f"{show(folder)}: cannot be listed", "check the path and your right to read"
    with explained(what, advice, OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_seen(entry.name):
                yield entry


def is_seen(name: str) -> bool:
    """Say whether a file or folder of this name is neither hidden nor one of the system's own."""
    return not name.startswith(".") and name.lower() not in SYSTEM_FILES


def _is_folder(entry: os.DirEntry) -> bool:
    with _reachable(entry.path):  # links in a circle are not
        return entry.is_dir()


def _reachable(path: str) -> AbstractContextManager[None]:
    return explained(f"{show(path)}: cannot be read", "mend or delete it", OSError)


def _check_image(path: str, strict: bool) -> None:
    """Raise UserError where a file is no image by its name; if `strict`, where it is empty."""
    is_image = path.lower().endswith(ENDINGS)
    if is_image and not strict:
        return
    if not is_image and not os.path.isdir(path):
        raise UserError(
            f"{show(path)}: not an image by its name; move it out of the class folder "
            f"(images end with {' '.join(ENDINGS)})"
        )
    with _reachable(path):
        status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        folder = show(os.path.dirname(path))
        raise UserError(f"{show(path)}: a folder within a class; move its images up into {folder}")
    if status.st_size == 0:
        raise UserError(f"{show(path)}: the file is empty (0 bytes); replace or delete it")
