"""A loader whose workers are threads: a batch is written once, to where training reads it.

Pillow and OpenCV let other threads run while they decode and resize. Processes would copy each
batch to shared memory, which takes as long as reading it from the prepared copy does.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from common.data.batches import NO_FAILURE, EpochBatches, Failure, Key, PartBatches
from common.data.uint8_images import Uint8Images

CHUNK = 8  # images that one thread loads at a time
Batch = tuple[np.ndarray, np.ndarray, Failure]  # images, labels
Begun = tuple[np.ndarray, np.ndarray, list[Future]]  # a batch that threads are writing


@dataclass
class ThreadLoader:
    """Batches of `dataset` as images [N, *dataset.shape], uint8, and labels [N], int64."""

    dataset: Uint8Images
    batch_sampler: EpochBatches | PartBatches
    workers: int  # threads that read ahead; 0: one, which reads what is asked for

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in order. Raises UserError at an unreadable image."""
        # Two batches, or as many small ones as keep every thread busy.
        busy = -(-2 * self.workers * CHUNK // self.batch_sampler.batch_size)
        ahead = max(2, busy) if self.workers else 0
        begun: deque[Begun] = deque()
        pool = ThreadPoolExecutor(max(self.workers, 1))
        try:
            for keys in self.batch_sampler:
                begun.append(self._begin(pool, keys))
                if len(begun) > ahead:
                    yield _finish(*begun.popleft())
            while begun:
                yield _finish(*begun.popleft())
        finally:  # also where nobody asks for the rest
            pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, keys: list[Key]) -> Begun:
        images = np.empty((len(keys), *self.dataset.shape), np.uint8)
        labels = np.empty(len(keys), np.int64)
        parts = [slice(start, start + CHUNK) for start in range(0, len(keys), CHUNK)]
        tasks = [pool.submit(self._load, keys[p], images[p], labels[p]) for p in parts]
        return images, labels, tasks

    def _load(self, keys: list[Key], images: np.ndarray, labels: np.ndarray) -> None:
        for number, key in enumerate(keys):
            labels[number] = self.dataset.load(key, images[number])


def _finish(images: np.ndarray, labels: np.ndarray, tasks: list[Future]) -> Batch:
    for task in tasks:
        task.result()  # raises what the thread raised
    return images, labels, NO_FAILURE
