"""Which samples make up which batch, and how a batch comes out of a worker process."""

import argparse
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from common.data import draws
from portproof.system.errors import UserError

Key = tuple[int, int]  # epoch, index in the folder: all that a sample's draws depend on


def own_batch_size(args: argparse.Namespace, world_size: int) -> int:
    """Return the images of a training batch of one process.

    Raises UserError where --split-batch cannot share a batch out evenly.
    """
    if not args.split_batch:
        return args.batch_size
    if args.batch_size % world_size:
        raise UserError(
            f"--split-batch: a batch of {args.batch_size} cannot be shared out evenly to "
            f"{world_size} processes; choose another --batch-size or number of processes"
        )
    return args.batch_size // world_size


class Process(NamedTuple):
    """Which of several processes this is."""

    rank: int = 0
    world_size: int = 1


ALONE = Process()


class EpochBatches:
    """The batches of one epoch, as lists of keys: a batch sampler for either DataLoader.

    A key carries the epoch, so worker processes need no state of their own: whichever of them loads
    the sample, however long it has lived, draws the same crop. The last batch may be smaller.

    Of several processes each takes its part of every batch of `world_size` times `batch_size`, so
    that together they see what one process with such batches would see. Where the last one has
    fewer samples than there are processes, some take a sample that counts for nothing.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        process: Process = ALONE,
        accumulate: int = 1,
    ) -> None:
        """`accumulate`: batches that make up one step of the optimizer."""
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank, self.world_size = process
        self.accumulate = accumulate
        self.epoch = 0
        self.first = 0  # number of the batch to begin with

    def __len__(self) -> int:
        return -(-self.length // (self.batch_size * self.world_size))

    @property
    def steps(self) -> int:
        """Steps of the optimizer in an epoch."""
        return -(-len(self) // self.accumulate)

    def __iter__(self) -> Iterator[list[Key]]:
        order = self.order()
        for number in range(self.first, len(self)):
            start, end = self._bounds(number)
            first = number * self.batch_size * self.world_size
            part = order[start:end] if end > start else order[first : first + 1]
            yield [(self.epoch, index) for index in part.tolist()]

    def first_sample(self, number: int) -> int:
        """Return how many samples of a whole batch are those of the processes before this one."""
        return self._bounds(number)[0] - number * self.batch_size * self.world_size

    def samples(self, number: int) -> list[int]:
        """Return the samples of a batch, as places in the folder's index."""
        start, end = self._bounds(number)
        return self.order()[start:end].tolist()

    def order(self) -> np.ndarray:
        """Return the samples of the epoch in the order of their batches, [length], int64.

        As a list it would be four times as large.
        """
        if self.shuffle:
            return draws.order(self.seed, self.epoch, self.length)
        return np.arange(self.length)

    def _bounds(self, number: int) -> tuple[int, int]:
        """Return where this process's part of a batch starts and ends in the order."""
        first = number * self.batch_size * self.world_size
        count = min(self.batch_size * self.world_size, self.length - first)
        return (
            first + count * self.rank // self.world_size,
            first + count * (self.rank + 1) // self.world_size,
        )

    def share(self, number: int) -> tuple[int, float, bool]:
        """Return how many samples of a batch count here, their weight, and if it ends a step.

        The mean loss of the batch times its weight, averaged over the processes and summed over the
        batches of the step, is the mean over all samples of the step.
        """
        start, end = self._bounds(number)
        whole = self.batch_size * self.world_size * self.accumulate
        first = number // self.accumulate * whole
        total = min(whole, self.length - first)
        is_last = (number + 1) % self.accumulate == 0 or number + 1 == len(self)
        return end - start, (end - start) * self.world_size / total, is_last


class PartBatches:
    """The samples of an evaluation, each once: process r has those of r, r + world_size, ..."""

    def __init__(self, length: int, batch_size: int, process: Process = ALONE) -> None:
        self.part = range(process.rank, length, process.world_size)
        self.world_size = process.world_size
        self.batch_size = batch_size
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        return -(-len(self.part) // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(self.first * self.batch_size, len(self.part), self.batch_size):
            yield [(self.epoch, index) for index in self.part[start : start + self.batch_size]]


class Failure(NamedTuple):
    """An exception on its way from a worker to the training process."""

    text: str
    is_users: bool  # the user can mend it: a line is enough; else the text is a traceback


NO_FAILURE = Failure("", False)


def attempt(load: Callable[[Key], Any], key: Key) -> Any:
    """Return `load(key)`, or a Failure where it raises.

    An exception must not leave a dataset: Paddle 3.3.1's DataLoader then hangs for ever without
    workers and ends with an unrelated error with them. As a value, it passes through both
    frameworks' loaders at any number of workers.
    """
    try:
        return load(key)
    except UserError as error:
        return Failure(str(error), True)
    except Exception:
        return Failure(traceback.format_exc(), False)


def first_failure(samples: list) -> Failure:
    """Return the first Failure among the samples of a batch, or NO_FAILURE."""
    return next((sample for sample in samples if isinstance(sample, Failure)), NO_FAILURE)


def raise_failure(failure: Failure) -> None:
    """Raise what `attempt` caught, here in the training process."""
    if failure.text:
        raise UserError(failure.text) if failure.is_users else RuntimeError(failure.text)
