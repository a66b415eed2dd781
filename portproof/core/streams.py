"""The images that are compared, and what each side's loader made of them."""

import os
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from portproof.files.images import list_splits
from portproof.port import Settings
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import Side, Sides
from portproof.worker.data import batch_file

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Images:
    """What both loaders are asked for; sizes in pixels, `epochs` of train."""

    folder: Path  # with train/<class>/* and val/<class>/*
    image_size: int
    batch_size: int
    seed: int = 0
    workers: int = 2
    epochs: int = 2

    @property
    def settings(self) -> Settings:
        """The settings of a port."""
        names = ("image_size", "batch_size", "seed", "workers")
        return {"data_path": str(self.folder)} | {name: getattr(self, name) for name in names}


def choose(folder: Path, target: Path, limit: int, batch_size: int) -> Path:
    """Return a folder with at most `limit` images of each split, as links in `target`; 0: all.

    They are spread evenly over the classes and their files. One or two fewer make the last batch
    smaller, which is to be compared too. Raises UserError as portproof.files.images does.
    """
    splits = list_splits(folder, SPLITS)
    counts = [sum(map(len, files.values())) for files in splits.values()]
    if not limit or all(count <= limit for count in counts):
        return folder
    classes = spread(list(splits["val"]), limit)
    for split, files in splits.items():
        by_class = {name: files[name] for name in classes}
        for name, paths in share(by_class, limit, batch_size).items():
            links = target / split / name
            links.mkdir(parents=True)
            for path in paths:
                (links / Path(path).name).symlink_to(os.path.abspath(path))
    return target


def share(by_class: dict[str, list[str]], limit: int, batch_size: int) -> dict[str, list[str]]:
    """Return at most `limit` of the paths, as many of each class as can be."""
    turns = [(n, name) for name, paths in by_class.items() for n in range(len(paths))]
    turns.sort(key=itemgetter(0))  # the first of every class, then the second
    counts = Counter(name for _, name in turns[:limit])
    fullest = max(by_class, key=counts.__getitem__)
    if batch_size > 1 and sum(counts.values()) % batch_size == 0 and counts[fullest] > 1:
        counts[fullest] -= 1
    return {name: spread(paths, counts[name]) for name, paths in by_class.items()}


def spread(items: list, count: int) -> list:
    """Return `count` items at even distances, all of them where there are no more."""
    if count >= len(items):
        return list(items)
    return [items[n * len(items) // count] for n in range(count)]


@dataclass(frozen=True)
class Sample:
    """One sample of a stream, kept to be drawn."""

    side: str
    image: np.ndarray  # what the network gets, [3, S, S]
    path: str | None
    label: Any
    class_name: str | None


class Stream:
    """What the loader of one side gave: samples counted through all epochs, in its order."""

    def __init__(self, side: Side, folder: Path, report: dict, image_folder: Path) -> None:
        self.side = side
        self.folder = folder
        self.version: str = report["version"]
        self.classes: list[str] | None = report["classes"]
        self.ran: list[list] = report["ran"]  # lines of the user's code, as [FILE, LINE]
        self.again: int | None = report["again"]  # samples that a second reading gave otherwise
        self.sizes: list[list[int]] = report["sizes"]
        self.starts = np.cumsum([0, *chain(*self.sizes)])  # the first sample of each batch
        self.label_type = (report["label_dtype"], tuple(report["label_shape"] or ()))
        self.epochs = np.repeat(np.arange(len(self.sizes)), [sum(sizes) for sizes in self.sizes])
        labels = np.array([*chain(*report["labels"])] or np.zeros(len(self), np.int64))
        # [N], or [N, ...] of labels that are arrays
        self.labels = labels.reshape(-1) if labels.size == len(self) else labels
        self.facts: list[dict] = report["facts"]
        if len(self.facts) != len(self):  # what belongs to which sample is not known
            self.facts = [{} for _ in self.epochs]
        # Of each sample, what Pillow was asked for: resize, crop or transpose; how; FILE:LINE.
        self.made: list[list] = [fact.get("steps", []) for fact in self.facts]
        self.orders: list[dict | None] = report["orders"]
        self.tells_draws: bool = report["tells_draws"]
        self.paths = [_relative(fact.get("path"), image_folder) for fact in self.facts]
        self.files = [_relative(path, image_folder) for path in report["paths"] or []]

    def __str__(self) -> str:
        return NAMES[self.side.framework]

    def __len__(self) -> int:
        return len(self.epochs)

    def positions(self, epoch: int) -> list[int]:
        """Return the positions of an epoch's images in the port's list of files, else by name."""
        files = self.files if set(self.paths) <= set(self.files) else sorted(set(self.paths))
        position = {path: number for number, path in enumerate(files)}
        return [position[self.paths[n]] for n in np.flatnonzero(self.epochs == epoch)]

    def image(self, sample: int) -> np.ndarray:
        """Return the numbers of one sample, [3, S, S], float32 where all is well."""
        batch = int(np.searchsorted(self.starts, sample, side="right")) - 1
        return np.load(batch_file(self.folder, batch), mmap_mode="r")[sample - self.starts[batch]]

    def sample(self, number: int) -> Sample:
        """Return one sample with its names."""
        image, label = np.array(self.image(number)), self.labels[number].tolist()
        known = self.classes and isinstance(label, int) and 0 <= label < len(self.classes)
        class_name = self.classes[label] if known else None
        return Sample(str(self), image, self.paths[number], label, class_name)

    @property
    def digests(self) -> list[int]:
        """What tells the samples apart by their numbers, whatever their last digits."""
        return [hash(np.round(self.image(n) * 16).tobytes()) for n in range(len(self))]

    def images(self, samples: list[int]) -> np.ndarray:
        """Return several samples of one shape, [N, 3, S, S], float64."""
        return np.stack([self.image(sample) for sample in samples]).astype(np.float64)

    def entered_size(self, sample: int) -> list[int] | None:
        """Return width and height of the image that Pillow was given first; None: not known."""
        return self.facts[sample].get("entered", {}).get("size")

    def steps(self, sample: int, name: str) -> list:
        """Return what Pillow was asked for under this name: resize, crop or transpose."""
        return [step for kind, step, _ in self.made[sample] if kind == name]

    def first_step(self, sample: int) -> str | None:
        """Return whether the image was first cut out or first resized."""
        return next((kind for kind, *_ in self.made[sample] if kind in ("crop", "resize")), None)

    def step_line(self, sample: int, *names: str) -> str | None:
        """Return FILE:LINE of the port's code that asked for the last step of these names."""
        return next((line for kind, _, line in self.made[sample][::-1] if kind in names), None)

    def draw(self, sample: int, name: str) -> dict | None:
        """Return the draw, crop or flip, that was made for a sample; None where it is not known."""
        return self.facts[sample].get("draws", {}).get(name)

    def describe(self, sample: int) -> str:
        """Return how to name a sample to a person."""
        path, epoch = self.paths[sample], int(self.epochs[sample])
        words = f"sample {sample - int(np.searchsorted(self.epochs, epoch))}"
        words = words if len(self.sizes) == 1 else f"epoch {epoch}, {words}"
        return f"{words} ({path})" if path else words


def _relative(path: str | None, folder: Path) -> str | None:
    return os.path.relpath(path, folder) if path and os.path.isabs(path) else path


def read(
    sides: Sides, folder: Path, images: Images, split: str, traced: bool = False
) -> dict[str, Stream]:
    """Let both sides read a split; `traced`: note the lines that run. Raises a side's UserError."""
    epochs = images.epochs if split == "train" else 1
    shutil.rmtree(folder / split, ignore_errors=True)  # of an earlier reading
    check_space(folder, images, split, epochs)
    part = {"split": split, "epochs": epochs, "traced": traced}

    def ask(side: Side) -> Stream:
        # to be traced, a port has to make its loaders anew
        side = replace(side, settings=images.settings, is_fresh=traced)
        report = side.ask(folder / split / side.framework, batches=part)["batches"]
        return Stream(side, folder / split / side.framework, report, images.folder)

    with ThreadPoolExecutor(len(sides)) as pool:
        waiting = {name: pool.submit(ask, sides[name]) for name in FRAMEWORKS}
    errors = {NAMES[name]: future.exception() for name, future in waiting.items()}
    failed = {name: error for name, error in errors.items() if isinstance(error, UserError)}
    for name, error in failed.items():
        message = without_traceback(str(error))
        alone = len(failed) == 1 and name not in message
        raise UserError(f"{name} alone fails: {message}" if alone else message)
    return {name: future.result() for name, future in waiting.items()}


def without_traceback(message: str) -> str:
    """Return a message without the traceback that it may hold: its last line says enough."""
    before, traceback, after = message.partition("Traceback (most recent call last):")
    errors = list(re.finditer(r"\b[\w.]*(Error|Exception|Warning): ", after))
    if not traceback or not errors:
        return message
    return before.removesuffix("RuntimeError: ") + after[errors[-1].start() :]


def check_space(folder: Path, images: Images, split: str, epochs: int) -> None:
    """Raise UserError where the numbers of both sides would not fit on the disk."""
    count = sum(len(files) for _, _, files in os.walk(images.folder / split, followlinks=True))
    needed = 2 * count * epochs * 3 * images.image_size**2 * 4
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        words = f"{count} images of {split} at {images.image_size} pixels need {needed / 1e9:.1f} "
        words += f"GB in {folder}, and {free / 1e9:.1f} GB are free; give a smaller --limit, or "
        raise UserError(f"{words}name another place by TMPDIR")
