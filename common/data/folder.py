"""Index of an image folder: train/<class>/* and val/<class>/*, as ImageNet is laid out."""

import hashlib
import operator
import os
from array import array
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from portproof.files.images import check_classes, list_classes


class BadImage(NamedTuple):
    path: str
    reason: str


class Paths(Sequence[str]):
    """Paths of files, as a list of strings, but each is put together when it is asked for.

    A million strings take 130 MB, and every worker process comes to copy them, as reading a string
    changes the count of references in it. Here the names lie in one buffer of 30 MB.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._folders: list[str] = []  # each once where its files follow one another
        self._firsts = array("q")  # the first file of each folder
        self._names = bytearray()
        self._ends = array("q", [0])  # name i is _names[_ends[i] : _ends[i + 1]]
        self.extend(paths)

    def extend(self, paths: Iterable[str]) -> None:
        """Add paths at the end."""
        for path in paths:
            start = path.rfind("/") + 1
            folder = path[:start]
            if not self._folders or folder != self._folders[-1]:
                self._folders.append(folder)
                self._firsts.append(len(self))
            self._names += os.fsencode(path[start:])
            self._ends.append(len(self._names))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int | slice) -> str | list[str]:
        number = range(len(self))[index]  # counts back from the end; IndexError beyond it
        if isinstance(number, range):
            return [self[i] for i in number]
        name = self._names[self._ends[number] : self._ends[number + 1]]
        return self._folders[bisect(self._firsts, number) - 1] + os.fsdecode(bytes(name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))


@dataclass(frozen=True)
class FolderIndex:
    """The images of one split: `paths[i]` shows class `classes[labels[i]]`; `bad` is left out."""

    classes: list[str]
    paths: Sequence[str]
    labels: Sequence[int]
    bad: list[BadImage] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def only(self, numbers: Sequence[int], bad: Sequence[BadImage] = ()) -> "FolderIndex":
        """Return the index of the images of these numbers."""
        paths = Paths(self.paths[i] for i in numbers)
        labels = array("i", [self.labels[i] for i in numbers])
        return FolderIndex(self.classes, paths, labels, list(bad))

    def folder(self) -> Path:
        """Return the folder of the split, that of the classes' folders."""
        path = self.paths[0] if self.paths else self.bad[0].path
        return Path(path).parent.parent


def file_key(state: str, name: str) -> int:
    """Return a 64-bit key of a file, which changes with its name or its `state`."""
    digest = hashlib.blake2b(state.encode() + os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def cache_name(folder: Path) -> str:
    """Return the name under which something is stored of a folder."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]


def index_data(
    data_path: Path, need_train: bool = True, strict: bool = True
) -> tuple[FolderIndex | None, FolderIndex]:
    """Return the indices of `train` (None where it is neither there nor needed) and of `val`.

    Classes are sorted by name, and so are the files of a class. Raises UserError where the splits
    have other classes, where a class is empty, where a file is no image by its name and, if
    `strict`, where a file is empty or missing: else common.data.verify finds it.
    """
    train = None
    if need_train or (data_path / "train").is_dir():
        train = index_split(data_path, "train", strict)
    val = index_split(data_path, "val", strict)
    if train is not None:
        check_classes(data_path, {"val": val.classes, "train": train.classes})
    return train, val


def index_split(data_path: Path, split: str, strict: bool = True) -> FolderIndex:
    """Return the index of one split. Raises UserError as `index_data` does."""
    classes, paths, labels = [], Paths(), array("i")
    for name, images in list_classes(data_path / split, strict):
        labels.extend([len(classes)] * len(images))
        classes.append(name)
        paths.extend(images)
    return FolderIndex(classes, paths, labels)
