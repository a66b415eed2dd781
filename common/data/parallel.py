"""The same work on many images, on all cores, with a progress bar."""

from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from typing import TypeVar

from tqdm import tqdm

from portproof.system import processor

Result = TypeVar("Result")


def on_all_cores(do: Callable[[int], Result], count: int, title: str) -> Iterator[Result]:
    """Yield `do` of each number below `count`, in order, from threads: Pillow holds no lock."""
    with ThreadPool(processor.available_cores()) as pool:
        done = pool.imap(do, range(count), chunksize=16)
        yield from tqdm(done, title, count, unit=" images", disable=None)
