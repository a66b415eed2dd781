"""A tensor in a few numbers, so that two runs can be compared without writing every tensor out.

A difference of relative size d moves a tensor's random projections by about d, whichever elements
it is in (Johnson and Lindenstrauss).
"""

import functools
import math

import numpy as np
from numpy.typing import ArrayLike

from portproof.numeric import philox

PROJECTIONS = 4
BLOCK = 1 << 17  # elements that are summarized at a time: they stay in the processor's cache
COLUMNS = ("norm", "largest", *(f"projection {k}" for k in range(PROJECTIONS)))


@functools.lru_cache(maxsize=64)
def signs(size: int, end: int) -> np.ndarray:
    """Return random vectors of 1 and -1, [size, PROJECTIONS], float64; `end` 0 or 1 names the axis.

    They are divided by the root of `size`: projections are then as large as a tensor's elements.
    """
    words = philox.words(end, philox.PROJECTION, 0, size, size)
    bits = (words[:, None] >> np.arange(PROJECTIONS, dtype=np.uint64)) & np.uint64(1)
    return (2.0 * bits - 1.0) / np.sqrt(size)


def pattern(shape: list[int], step: int, number: int, transposed: bool = False) -> np.ndarray:
    """Return a made-up gradient of this shape, float64: no element is 0, no two rows are alike.

    `step` and `number` (of the parameter) choose it. Its elements are of the size of 0.01.
    `transposed`: shape and numbers are [in, out] where torch's layout is [out, in].
    """
    of_torch = shape[::-1] if transposed else shape
    rows, columns = math.prod(of_torch[:1]), math.prod(of_torch[1:])
    drawn = philox.uniform(number, philox.PROJECTION, step, 0, rows + columns) - 0.5
    left, right = drawn[:rows], drawn[rows:]
    whole = right[:, None] + left if transposed else left[:, None] + right
    whole *= 0.02
    return whole.reshape(shape)


def summarize(array: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Return norm, largest magnitude and random projections of a tensor, [len(COLUMNS)], float64.

    Where it is `transposed`, [in, out], they are those of [out, in]. NaN and infinity go through.
    """
    if array.size == 0:
        return np.zeros(len(COLUMNS))
    matrix = array.reshape(array.shape[0] if array.ndim else 1, -1)
    rows, columns = matrix.shape
    left, right = signs(rows, int(transposed)), signs(columns, int(not transposed))
    height = max(BLOCK // columns, 1)
    square, ends, projected = 0.0, [], np.zeros(PROJECTIONS)
    for start in range(0, rows, height):
        block = matrix[start : start + height].astype(np.float64, copy=False)
        projected += ((block @ right) * left[start : start + height]).sum(axis=0)
        flat = block.reshape(-1)
        square += np.dot(flat, flat)
        ends += [flat.max(), -flat.min()]
    return np.concatenate([[np.sqrt(square), np.max(ends)], projected])


def relative(left: ArrayLike, right: ArrayLike, count: int) -> float:
    """Return how far two summaries are apart, relative to the left tensor's norm.

    `count`: the elements of the tensor. NaN in both alike is no difference; in one it is infinite.
    """
    left, right = np.asarray(left), np.asarray(right)
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return float("inf")
    if not np.isfinite(left).all():
        return 0.0
    scale = left[0] / np.sqrt(max(count, 1))  # root mean square of the elements
    if scale == 0.0:
        return 0.0 if not right[:2].any() else float("inf")
    apart = np.abs(left[2:] - right[2:]).max() / scale
    return float(max(apart, abs(left[0] - right[0]) / left[0]))
