"""Which samples make up which batch, and how a batch comes out of a worker process."""

import argparse
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from common.data import draws
from portproof.system.errors import UserError

Key = tuple[int, int]  # epoch, index in the folder: all that a sample's draws depend on


def own_batch_size(args: argparse.Namespace, world_size: int) -> int:
    """Return the images of a training batch of one process. Raises UserError where none fits."""
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


class Batch(NamedTuple):
    """One process's part of a batch of all processes.

    The mean loss of the part times `weight`, averaged over the processes and summed over the
    batches of a step, is the mean over all samples of the step.
    """

    number: int  # in the epoch, from 0
    global_number: int  # counted over all processes: what its dropout is drawn from
    count: int  # samples that count; 0: it stands in for a batch that this process lacks
    weight: float
    ends_step: bool  # the parameters are updated after it
    first_sample: int  # how many samples of the whole batch are those of processes before this one


@dataclass
class EpochBatches:
    """The batches of one epoch, as lists of keys: a batch sampler for either DataLoader.

    A key carries the epoch, so any worker process draws the same crop for it. The last batch may
    be smaller. Of several processes each takes its part of every batch of `world_size` times
    `batch_size`. Where the last one has too few samples, some take one that counts for nothing.
    """

    length: int
    batch_size: int
    seed: int
    shuffle: bool
    process: Process = ALONE
    accumulate: int = 1  # batches that make up one step of the optimizer
    epoch: int = 0
    first: int = 0  # number of the batch to begin with

    def __post_init__(self) -> None:
        self.rank, self.world_size = self.process
        self.whole = self.batch_size * self.world_size  # samples of a batch of all processes

    def __len__(self) -> int:
        return -(-self.length // self.whole)

    @property
    def steps(self) -> int:
        """Steps of the optimizer in an epoch."""
        return -(-len(self) // self.accumulate)

    def __iter__(self) -> Iterator[list[Key]]:
        order = self.order()
        for number in range(self.first, len(self)):
            start, end = self._bounds(number)
            part = order[start:end] if end > start else order[number * self.whole :][:1]
            yield [(self.epoch, index) for index in part.tolist()]

    def samples(self, number: int) -> list[int]:
        """Return the samples of a batch, as places in the folder's index."""
        start, end = self._bounds(number)
        return self.order()[start:end].tolist()

    def order(self) -> np.ndarray:
        """Return the samples of the epoch in the order of their batches, [length], int64."""
        if self.shuffle:
            return draws.order(self.seed, self.epoch, self.length)
        return np.arange(self.length)

    def _bounds(self, number: int) -> tuple[int, int]:
        """Return where this process's part of a batch starts and ends in the order."""
        first = number * self.whole
        count = min(self.whole, self.length - first)
        end = first + count * (self.rank + 1) // self.world_size
        return first + count * self.rank // self.world_size, end

    def batch(self, number: int) -> Batch:
        """Return what the training must know of a batch."""
        start, end = self._bounds(number)
        count = end - start
        in_step = self.whole * self.accumulate
        total = min(in_step, self.length - number // self.accumulate * in_step)
        return Batch(
            number,
            global_number=number * self.world_size + self.rank,
            count=count,
            weight=count * self.world_size / total,
            ends_step=(number + 1) % self.accumulate == 0 or number + 1 == len(self),
            first_sample=start - number * self.whole,
        )


class PartBatches:
    """The samples of an evaluation, each once: process r has those of r, r + world_size, ..."""

    def __init__(self, length: int, batch_size: int, process: Process = ALONE) -> None:
        self.part = range(process.rank, length, process.world_size)
        self.world_size = process.world_size
        self.batch_size = batch_size
        self.epoch = self.first = 0

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
    """Return `load(key)`, or a Failure: Paddle 3.3.1's DataLoader hangs if a dataset raises."""
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
