"""The images of an experiment: as many of each class as it has time for, as an image folder."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from common.data.folder import FolderIndex, index_data
from portproof.system import atomic_folders

WHAT = "pictures"  # pictures.json marks a complete folder


def choose(data_path: Path, folder: Path, counts: dict[str, int]) -> None:
    """Make `folder` an image folder of links to `counts` images of each split.

    Each class has as many, spread evenly over its files by name, or all where it has fewer. The
    folder "train-as-val" beside the splits has the training images as `val`: `--eval-only` there
    is the training error. Raises UserError where `data_path` is no image folder.
    """
    data_path = data_path.resolve()
    train, val = index_data(data_path)

    def fill(partial: Path) -> None:
        for split, index in (("train", train), ("val", val)):
            link(index, partial / split, counts[split])
        (partial / "train-as-val").mkdir()
        (partial / "train-as-val" / "val").symlink_to(Path("..") / "train")

    atomic_folders.make(folder, WHAT, {"of": str(data_path), **counts}, fill)


def fingerprint(data_path: Path) -> str:
    """Return what tells an image folder from others: its counts, and a digest of the files.

    The digest is of names and sizes. Raises UserError where `data_path` is no image folder.
    """
    train, val = index_data(data_path, strict=False)
    digest = hashlib.sha256()
    for index in (train, val):
        for path in map(Path, index.paths):
            line = f"{path.parent.name}/{path.name} {path.stat().st_size}\n"
            digest.update(os.fsencode(line))
    counts = f"{len(train)} train, {len(val)} val, {len(val.classes)} classes"
    return f"{counts}, files {digest.hexdigest()[:12]}"


def described(folder: Path) -> dict:
    """Return where the images of a chosen folder are from ("of"), and how many were asked for."""
    return json.loads((folder / f"{WHAT}.json").read_text())


def link(index: FolderIndex, target: Path, count: int) -> None:
    """Link to `count` images of the index, spread over its classes and their files."""
    for label, name in enumerate(index.classes):
        paths = [Path(index.paths[i]) for i in np.flatnonzero(np.asarray(index.labels) == label)]
        number = min(max(count // len(index.classes), 1), len(paths))
        (target / name).mkdir(parents=True)
        for image in (paths[step * len(paths) // number] for step in range(number)):
            (target / name / image.name).symlink_to(image)
