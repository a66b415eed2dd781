"""Which samples make up which batch, and how a batch comes out of a worker process."""

import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from common import draws
from common.errors import UserError

Key = tuple[int, int]  # epoch, index in the folder: all that a sample's draws depend on


class EpochBatches:
    """The batches of one epoch, as lists of keys: a batch sampler for either DataLoader.

    A key carries the epoch, so worker processes need no state of their own: whichever of them loads
    the sample, however long it has lived, draws the same crop. The last batch may be smaller.
    """

    def __init__(self, length: int, batch_size: int, seed: int, shuffle: bool) -> None:
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        order = range(self.length)
        if self.shuffle:
            order = draws.order(self.seed, self.epoch, self.length).tolist()
        for start in range(0, self.length, self.batch_size):
            yield [(self.epoch, index) for index in order[start : start + self.batch_size]]


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
