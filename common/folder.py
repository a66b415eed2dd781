"""Index of an image folder: train/<class>/* and val/<class>/*, as ImageNet is laid out."""

import os
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError

PICTURES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")  # left by file managers, as are names with a dot first


@dataclass(frozen=True)
class FolderIndex:
    """The pictures of one split: `paths[i]` shows class `classes[labels[i]]`."""

    classes: list[str]
    paths: list[str]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.paths)


def index_data(data_path: Path, need_train: bool = True) -> tuple[FolderIndex | None, FolderIndex]:
    """Return the indices of `train` (None where it is neither there nor needed) and of `val`.

    Classes are sorted by name, and so are the files of a class; both splits have the same classes.
    Raises UserError, which names the place, where that does not hold, or where a class is empty, or
    where a file is empty or no picture.
    """
    train = None
    if need_train or (data_path / "train").is_dir():
        train = index_split(data_path, "train")
    val = index_split(data_path, "val")
    if train is not None and train.classes != val.classes:
        raise UserError(_class_difference(data_path, set(train.classes), set(val.classes)))
    return train, val


def index_split(data_path: Path, split: str) -> FolderIndex:
    """Return the index of one split. Raises UserError as `index_data` does."""
    folder = data_path / split
    if not folder.is_dir():
        raise UserError(
            f"{folder}: there is no such folder; lay the pictures out as "
            f"{data_path}/train/<class>/* and {data_path}/val/<class>/*"
        )
    classes = sorted(entry.name for entry in _entries(folder) if entry.is_dir())
    if not classes:
        raise UserError(f"{folder}: no pictures here; it needs one folder for each class")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _class_pictures(folder / name)
        paths.extend(found)
        labels.extend([label] * len(found))
    return FolderIndex(classes, paths, labels)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry
                for entry in entries
                if not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_FILES
            ]
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror}); check the path and your right to read"
        ) from error


def _class_pictures(folder: Path) -> list[str]:
    paths = []
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            raise UserError(
                f"{entry.path}: a folder within a class; move its pictures up into {folder}"
            )
        if not entry.name.lower().endswith(PICTURES):
            raise UserError(
                f"{entry.path}: not a picture by its name; move it out of the class folder "
                f"(pictures end with {' '.join(PICTURES)})"
            )
        try:
            size = entry.stat().st_size
        except OSError as error:
            raise UserError(
                f"{entry.path}: cannot be read ({error.strerror}); mend or delete it"
            ) from error
        if size == 0:
            raise UserError(f"{entry.path}: the file is empty (0 bytes); replace or delete it")
        paths.append(entry.path)
    if not paths:
        raise UserError(f"{folder}: a class with no pictures; add some or delete the folder")
    return paths


def _class_difference(data_path: Path, train: set[str], val: set[str]) -> str:
    parts = []
    for split, missing in (("val", train - val), ("train", val - train)):
        if missing:
            names = sorted(missing)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{split} lacks {', '.join(names[:5])}{more}")
    return (
        f"{data_path}: train and val must have the same classes, else labels would not mean the "
        f"same in both: {'; '.join(parts)}"
    )
