"""Index of an image folder: train/<class>/* and val/<class>/*, as ImageNet is laid out."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError, show

PICTURES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")  # left by file managers, as are names with a dot first


class BadPicture(NamedTuple):
    path: str
    reason: str


@dataclass(frozen=True)
class FolderIndex:
    """The pictures of one split: `paths[i]` shows class `classes[labels[i]]`; `bad` is left out."""

    classes: list[str]
    paths: list[str]
    labels: list[int]
    bad: list[BadPicture] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)


def index_data(
    data_path: Path, need_train: bool = True, strict: bool = True
) -> tuple[FolderIndex | None, FolderIndex]:
    """Return the indices of `train` (None where it is neither there nor needed) and of `val`.

    Classes are sorted by name, and so are the files of a class; both splits have the same classes.
    Raises UserError, which names the place, where that does not hold, where a class is empty, where
    a file is no picture by its name and, if `strict`, where a file is empty or missing. Else such a
    file is in the index, for common.verify to find.
    """
    train = None
    if need_train or (data_path / "train").is_dir():
        train = index_split(data_path, "train", strict)
    val = index_split(data_path, "val", strict)
    if train is not None and train.classes != val.classes:
        raise UserError(_class_difference(data_path, set(train.classes), set(val.classes)))
    return train, val


def index_split(data_path: Path, split: str, strict: bool = True) -> FolderIndex:
    """Return the index of one split. Raises UserError as `index_data` does."""
    folder = data_path / split
    if not folder.is_dir():
        raise UserError(
            f"{show(folder)}: there is no such folder; lay the pictures out as "
            f"{show(data_path)}/train/<class>/* and {show(data_path)}/val/<class>/*"
        )
    classes = sorted(entry.name for entry in _entries(folder) if _is_folder(entry))
    if not classes:
        raise UserError(f"{show(folder)}: no pictures here; it needs one folder for each class")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _class_pictures(folder / name, strict)
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
            f"{show(folder)}: cannot be listed ({error.strerror}); check the path and your right "
            "to read"
        ) from error


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # links in a circle, for one
        raise _unreadable(entry, error) from error


def _unreadable(entry: os.DirEntry, error: OSError) -> UserError:
    return UserError(f"{show(entry.path)}: cannot be read ({error.strerror}); mend or delete it")


def _class_pictures(folder: Path, strict: bool) -> list[str]:
    paths = []
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        name = entry.name.lower()
        if not name.endswith(PICTURES):
            if _is_folder(entry):
                raise _folder_within(entry, folder)
            raise UserError(
                f"{show(entry.path)}: not a picture by its name; move it out of the class folder "
                f"(pictures end with {' '.join(PICTURES)})"
            )
        if strict:
            try:
                size = entry.stat().st_size
            except OSError as error:
                raise _unreadable(entry, error) from error
            if entry.is_dir():
                raise _folder_within(entry, folder)
            if size == 0:
                raise UserError(
                    f"{show(entry.path)}: the file is empty (0 bytes); replace or delete it"
                )
        paths.append(entry.path)
    if not paths:
        raise UserError(f"{show(folder)}: a class with no pictures; add some or delete the folder")
    return paths


def _folder_within(entry: os.DirEntry, folder: Path) -> UserError:
    return UserError(
        f"{show(entry.path)}: a folder within a class; move its pictures up into {show(folder)}"
    )


def _class_difference(data_path: Path, train: set[str], val: set[str]) -> str:
    parts = []
    for split, missing in (("val", train - val), ("train", val - train)):
        if missing:
            names = sorted(missing)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{split} lacks {', '.join(map(show, names[:5]))}{more}")
    return (
        f"{show(data_path)}: train and val must have the same classes, else labels would not mean "
        f"the same in both: {'; '.join(parts)}"
    )
