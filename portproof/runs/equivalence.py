"""Do two sets of numbers agree? A test of equivalence, and how many numbers it needs.

The test is TOST, two one-sided tests, in Welch's form (each side has a spread of its own): two
means agree where the interval of their difference lies inside a margin that was stated before. A
test of difference cannot say that: with few runs it finds no difference between anything.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "different", "undecided"
MOST = 100_000  # runs; who needs more does not decide it by runs
QUANTILES = (np.arange(100) + 0.5) / 100

Interval = tuple[float, float]


@dataclass(frozen=True)
class Outcome:
    """What the runs say. `agreement` and `equality` are intervals of the difference.

    equivalent: `agreement`, of confidence 1 - 2 level, lies inside the margin.
    different: not equivalent, and `equality`, of confidence 1 - level, excludes 0.
    undecided: neither; or a side has one run, so there is no spread and no interval (None).

    Either claim is false in a share `level` of cases at most: that of agreement where the true
    difference is the margin or more, that of a difference where there is none.
    """

    verdict: str
    difference: float
    agreement: Interval | None = None
    equality: Interval | None = None


def compare(
    left: np.ndarray | float, right: np.ndarray, margin: float, level: float = 0.05
) -> Outcome:
    """Compare numbers, arrays [runs], by `right` minus `left`, which may be known exactly."""
    sides = [right] if np.ndim(left) == 0 else [left, right]
    difference = float(np.mean(right) - np.mean(left))
    if min(len(side) for side in sides) < 2:
        return Outcome(UNDECIDED, difference)
    variances = [deviation(side) ** 2 for side in sides]
    error, freedom = standard_error(variances, [len(side) for side in sides])
    agreement = _interval(difference, error, freedom, level)
    equality = _interval(difference, error, freedom, level / 2)
    if -margin < agreement[0] and agreement[1] < margin:
        verdict = EQUIVALENT
    elif equality[0] > 0 or equality[1] < 0:
        verdict = DIFFERENT
    else:
        verdict = UNDECIDED
    return Outcome(verdict, difference, agreement, equality)


def deviation(values: np.ndarray) -> float | None:
    """Return the standard deviation between runs, an array [runs]; None where there is one run."""
    if len(values) < 2:
        return None
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0  # no rounding where all are alike


def standard_error(variances: Sequence, counts: Sequence[int]) -> tuple:
    """Return the standard error of a difference of means, and its degrees of freedom (Welch).

    A variance of each side: numbers, or arrays of one shape, and so is what is returned.
    """
    parts = [variance / count for variance, count in zip(variances, counts, strict=True)]
    weights = [part**2 / (count - 1) for part, count in zip(parts, counts, strict=True)]
    tiny = np.finfo(float).tiny  # where nothing varies, 0 / 0 otherwise
    return np.sqrt(sum(parts)), np.maximum(sum(parts) ** 2, tiny) / np.maximum(sum(weights), tiny)


def _interval(difference: float, error: float, freedom: float, tail: float) -> Interval:
    """Return the interval that leaves out `tail` on either side."""
    reach = float(stats.t.ppf(1 - tail, freedom) * error)
    return difference - reach, difference + reach


def runs_needed(
    deviations: Sequence[float], margin: float, power: float, level: float = 0.05
) -> int | None:
    """Return how many runs a side show agreement with this chance; None if it is over `MOST`.

    `deviations` are those between the runs of each side, and the two sides truly the same: where
    they are not, it takes more.
    """

    def chance(runs: int) -> float:  # grows with the runs
        return agreement_chance(deviations, runs, margin, level)

    return None if chance(MOST) < power else 2 + bisect_left(range(2, MOST), power, key=chance)


def agreement_chance(
    deviations: Sequence[float], runs: int, margin: float, level: float = 0.05
) -> float:
    """Return how likely so many runs a side are found equivalent if the two are truly the same.

    The test sees variances that are drawn themselves: each pair of their quantiles has its chance,
    and the mean over all is the answer.
    """
    true = [deviation**2 for deviation in deviations]
    if not any(true):
        return 1.0
    drawn = stats.chi2.ppf(QUANTILES, runs - 1) / (runs - 1)
    seen = np.meshgrid(*[variance * drawn for variance in true])  # arrays [100, 100] of two sides
    error, freedom = standard_error(seen, [runs] * len(seen))
    allowed = margin - stats.t.ppf(1 - level, freedom) * error  # how far off the means may be
    reach = np.maximum(allowed, 0) / np.sqrt(sum(true) / runs)
    return float(np.mean(2 * stats.norm.cdf(reach) - 1))
