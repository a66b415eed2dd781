"""The size of an effect, how sure it is, and what that says of the paper's claim."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from portproof.runs import equivalence

REPRODUCED, CONTRARY, NOT_HERE = "reproduced", "contrary", "not at this scale"
TOO_FEW = "too few seeds"


class Effect(NamedTuple):
    """A mean over seeds with its 95 % interval; `none` is the value of no effect at all.

    `bound` is "more" where the mean is only known to be larger than `value`, "less" where smaller.
    """

    value: float
    low: float
    high: float
    pairs: int
    none: float = 0.0  # of a ratio 1
    bound: str = ""


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by Student's t; of one value it has no end."""
    from_zero = equivalence.compare(0.0, np.array(values), margin=0.0)
    low, high = from_zero.equality or (-math.inf, math.inf)
    return from_zero.difference, low, high


def difference(pairs: Sequence[tuple[float, float]]) -> Effect | None:
    """Return the effect of pairs (with, without) of one seed each: without - with."""
    if not pairs:
        return None
    return Effect(*interval([without - with_ for with_, without in pairs]), len(pairs))


def ratio(pairs: Sequence[tuple[float | None, float | None]], most: float) -> Effect | None:
    """Return the effect of pairs (with, without): without / with, a geometric mean.

    None in a pair says that the goal was not reached in `most` epochs: `most` stands in for it, and
    the effect is a bound. Where that happens on both sides nothing is known: None.
    """
    slow = any(without is None for _, without in pairs)
    fast = any(with_ is None for with_, _ in pairs)
    if not pairs or (slow and fast):
        return None
    logs = [math.log((without or most) / (with_ or most)) for with_, without in pairs]
    value, low, high = (_exp(number) for number in interval(logs))
    return Effect(value, low, high, len(pairs), 1.0, "more" if slow else "less" if fast else "")


def _exp(number: float) -> float:
    return math.exp(number) if number < 700 else math.inf


def verdict(effect: Effect | None) -> str:
    """Say on which side of no effect the whole interval lies; a bound speaks for its own alone."""
    if effect is None:
        return NOT_HERE
    if effect.pairs < 2:
        return TOO_FEW
    if effect.low > effect.none and effect.bound != "less":
        return REPRODUCED
    if effect.high < effect.none and effect.bound != "more":
        return CONTRARY
    return NOT_HERE
