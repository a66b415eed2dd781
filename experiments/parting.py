"""When two series of losses part, and how fast: pure functions of numbers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

PARTED = 0.01  # two losses that differ by more than this are two curves, to the eye
THRESHOLDS = (1e-6, 1e-3, PARTED)
FEW = 20  # steps; a slope through fewer says nothing
CLEAN = 0.9  # of the variance of the logarithms, what a straight line must explain
ABOVE_ROUNDING = 8  # last bits of the dtype; below it a difference is of steps, not of sizes


@dataclass(frozen=True)
class Pair:
    """Two series of losses that are held against each other."""

    name: str  # of its column
    title: str
    dtype: str
    left: np.ndarray  # [steps], float64
    right: np.ndarray  # [steps], float64

    @cached_property
    def difference(self) -> np.ndarray:
        """The relative difference of each step, [steps]."""
        return relative(self.left, self.right)


def relative(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return |left - right| / |left| of each step, [steps], float64.

    Infinite where one of them alone is no finite number; 0 where neither is, and of two zeros.
    """
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    finite_left, finite_right = np.isfinite(left), np.isfinite(right)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(left - right) / np.abs(left)
    difference[finite_left != finite_right] = np.inf
    difference[(left == right) | ~(finite_left | finite_right)] = 0.0
    return difference


def first_above(difference: np.ndarray, threshold: float) -> int | None:
    """Return the first step, counted from 1, whose difference exceeds `threshold`; None: none."""
    above = difference > threshold
    return int(above.argmax()) + 1 if above.any() else None


def doubling(difference: np.ndarray, dtype: str) -> float | None:
    """Return in how many steps a difference doubles, from above the rounding to the parting.

    A straight line is fitted to its logarithm. None where there is no clean growth: too few steps,
    a line that falls, or one that explains less than CLEAN of the variance.
    """
    first = first_above(difference, ABOVE_ROUNDING * np.finfo(dtype).eps)
    if first is None:
        return None
    last = first_above(difference, PARTED) or len(difference)
    seen = difference[first - 1 : last]
    (steps,) = np.nonzero((seen > 0) & np.isfinite(seen))  # two losses may meet by chance
    if len(steps) < FEW:
        return None
    logs = np.log2(seen[steps])
    slope, start = np.polyfit(steps, logs, 1)
    rest = logs - (slope * steps + start)
    explained = 1 - rest.var() / logs.var() if logs.var() else 0.0
    return float(1 / slope) if slope > 0 and explained >= CLEAN else None


def is_fault(float32: np.ndarray, float64: np.ndarray) -> bool:
    """Say whether the difference in float64 is more than rounding.

    Rounding is 2**29 times as small in float64, so a threshold that is passed there no later than
    in float32 is passed for another reason.
    """
    for threshold in THRESHOLDS:
        exact, rounded = first_above(float64, threshold), first_above(float32, threshold)
        if exact is not None and (rounded is None or exact <= rounded):
            return True
    return False
