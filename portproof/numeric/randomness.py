"""What a network asks its framework for at random, drawn outside of it: alike on both sides."""

import math

import numpy as np

from portproof.numeric.philox import MASK, uniform


def dropout_mask(
    seed: int, step: int, call: int, shape: list[int], p: float, first: int = 0
) -> np.ndarray:
    """Draw which units one call of dropout keeps, each with probability 1 - p: `shape`, bool.

    `call` counts the dropouts of the step, `first` the samples of its batch before these. Each
    sample (first axis) has a stream of its own, so a batch that is split over processes loses the
    units that the whole batch would.
    """
    count = math.prod(shape[1:])
    drawn = [
        uniform(seed, MASK, step, sample, count, call)
        for sample in range(first, first + (shape[0] if shape else 1))
    ]
    return np.stack(drawn).reshape(shape) >= p
