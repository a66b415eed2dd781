"""A bar that counts images."""

from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

from common.training.signals import leave_evaluation


def progress_bar(loader: Any, title: str, done: int = 0) -> tqdm:
    """Return a bar that counts images, `done` batches of them over; silent without a terminal."""
    total = len(loader.dataset)
    done = min(done * loader.batch_sampler.batch_size, total)
    return tqdm(total=total, initial=done, desc=title, unit=" images", leave=False, disable=None)


def show_progress(batches: Iterable[tuple], loader: Any, title: str) -> Iterator[tuple]:
    """Pass the batches (images, labels) of a loader on, and show how many of them are over."""
    with progress_bar(loader, title) as bar:
        for images, labels in batches:
            leave_evaluation()
            yield images, labels
            bar.update(len(labels) * loader.batch_sampler.world_size)
