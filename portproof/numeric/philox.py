"""Random numbers of one generator, outside both frameworks.

It is Philox 4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). Only its raw
64-bit words are used: NumPy promises that they never change (NEP 19).
"""

import math
import threading

import numpy as np

# What a number is for; one independent stream each. 1 to 6 and 9 are a project's own to give.
MASK = 7
PROJECTION = 8
_of_thread = threading.local()


def words(seed: int, purpose: int, epoch: int, index: int, count: int, part: int = 0) -> np.ndarray:
    """Return `count` random 64-bit words, shape [count], uint64.

    The key names the stream and the three highest words of `counter` the place in it: no two places
    share a word.
    """
    if not hasattr(_of_thread, "generator"):  # to make one takes four times as long as to set it
        _of_thread.generator = np.random.Philox(key=0)
        _of_thread.state = _of_thread.generator.state
    _of_thread.state["state"]["key"][:] = seed, purpose
    _of_thread.state["state"]["counter"][:] = 0, part, index, epoch
    _of_thread.generator.state = _of_thread.state
    return _of_thread.generator.random_raw(count)


def uniform(
    seed: int, purpose: int, epoch: int, index: int, count: int, part: int = 0
) -> np.ndarray:
    """Return `count` numbers of [0, 1), [count], float64, from the top 53 bits of each word."""
    return (words(seed, purpose, epoch, index, count, part) >> np.uint64(11)) * 2.0**-53


def dropout_mask(
    seed: int, step: int, call: int, shape: list[int], p: float, first: int = 0
) -> np.ndarray:
    """Draw which units one call of dropout keeps, each with probability 1 - p: `shape`, bool.

    `call` counts the dropouts of the step, `first` the samples of its batch before these. Each
    sample (first axis) has a stream of its own, so that a batch may be split over processes.
    """
    count, samples = math.prod(shape[1:]), math.prod(shape[:1])
    numbers = range(first, first + samples)
    drawn = [uniform(seed, MASK, step, sample, count, call) for sample in numbers]
    return np.stack(drawn).reshape(shape) >= p
