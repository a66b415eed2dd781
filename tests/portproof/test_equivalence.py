"""portproof/runs/equivalence.py: intervals, error rates and counts against SciPy and simulation."""

import numpy as np
import pytest
from scipy import stats

from portproof.runs import equivalence
from portproof.runs.equivalence import DIFFERENT, EQUIVALENT, UNDECIDED

MARGIN, LEVEL = 0.15, 0.05


def draws(mean, deviation, runs, times, seed):
    """Return made-up results, an array [times, runs]."""
    return np.random.default_rng(seed).normal(mean, deviation, (times, runs))


def verdicts(left, right):
    """Return the verdict of each pair of rows."""
    sides = zip(left, right, strict=True)
    return [equivalence.compare(*pair, MARGIN, LEVEL).verdict for pair in sides]


def share(verdict, left, right):
    """Return how often a verdict is given over the rows of both sides."""
    return verdicts(left, right).count(verdict) / len(left)


def tost_by_scipy(left, right):
    """Say row by row whether SciPy's own one-sided tests, both of them, reject."""
    larger = stats.ttest_ind(right + MARGIN, left, axis=1, equal_var=False, alternative="greater")
    smaller = stats.ttest_ind(right - MARGIN, left, axis=1, equal_var=False, alternative="less")
    return np.maximum(larger.pvalue, smaller.pvalue) < LEVEL


def test_the_intervals_are_those_of_scipy():
    left, right = draws(56.5, 0.1, 5, 1, 0)[0], draws(56.6, 0.3, 8, 1, 1)[0]
    outcome = equivalence.compare(left, right, MARGIN, LEVEL)
    expected = stats.ttest_ind(right, left, equal_var=False)
    assert outcome.agreement == pytest.approx(tuple(expected.confidence_interval(0.90)))
    assert outcome.equality == pytest.approx(tuple(expected.confidence_interval(0.95)))
    against = equivalence.compare(56.522, right, MARGIN, LEVEL)
    expected = stats.ttest_1samp(right - 56.522, 0)
    assert against.agreement == pytest.approx(tuple(expected.confidence_interval(0.90)))
    assert against.difference == pytest.approx(right.mean() - 56.522)


def test_the_verdicts_are_those_of_two_one_sided_tests():
    left, right = draws(56.5, 0.12, 6, 300, 2), draws(56.55, 0.06, 4, 300, 3)
    expected = tost_by_scipy(left, right)
    assert 30 < expected.sum() < 270
    actual = verdicts(left, right)
    assert [verdict == EQUIVALENT for verdict in actual] == expected.tolist()
    p = stats.ttest_ind(left, right, axis=1, equal_var=False).pvalue
    assert [v == DIFFERENT for v in actual] == (~expected & (p < LEVEL)).tolist()
    assert actual.count(DIFFERENT) > 10 and actual.count(UNDECIDED) > 10


@pytest.mark.parametrize("spread", [(0.05, 0.05), (0.02, 0.08)])
def test_agreement_is_claimed_in_one_case_of_twenty_where_the_difference_is_the_margin(spread):
    left = draws(56.5, spread[0], 5, 1500, 4)
    right = draws(56.5 + MARGIN, spread[1], 7, 1500, 5)
    assert share(EQUIVALENT, left, right) == pytest.approx(LEVEL, abs=0.015)


def test_a_difference_is_claimed_in_one_case_of_twenty_where_there_is_none():
    left, right = draws(56.5, 0.5, 9, 1500, 6), draws(56.5, 0.5, 7, 1500, 7)
    assert share(DIFFERENT, left, right) == pytest.approx(LEVEL, abs=0.015)
    assert share(EQUIVALENT, left, right) < 0.01


@pytest.mark.parametrize("power", [0.8, 0.9])
@pytest.mark.parametrize("spread", [(0.1, 0.1), (0.05, 0.3), (0.02, 0.02)])
def test_so_many_runs_show_agreement_that_often_and_one_fewer_does_not(spread, power):
    needed = equivalence.runs_needed(spread, MARGIN, power, LEVEL)

    def simulated(runs):
        sides = [draws(56.5, width, runs, 5000, seed) for seed, width in enumerate(spread, 8)]
        return tost_by_scipy(*sides).mean()

    assert simulated(needed) > power - 0.02
    if needed > 2:
        assert simulated(needed - 1) < power + 0.02


def test_runs_needed_against_a_published_value():
    needed = equivalence.runs_needed([0.2], MARGIN, 0.8, LEVEL)
    runs = draws(56.522, 0.2, needed, 1000, 10)
    assert share(EQUIVALENT, [56.522] * 1000, runs) == pytest.approx(0.8, abs=0.05)
    assert needed < equivalence.runs_needed([0.2, 0.2], MARGIN, 0.8, LEVEL)


def test_more_is_needed_for_more_spread_more_power_and_a_narrower_margin():
    def needed(spread=0.2, margin=MARGIN, power=0.8):
        return equivalence.runs_needed([spread, spread], margin, power, LEVEL)

    assert needed() < needed(spread=0.4) and needed() < needed(power=0.9)
    assert needed() < needed(margin=0.1)
    assert needed(spread=500) is None  # over equivalence.MOST
    assert needed(spread=0.0) == 2


def test_runs_that_are_all_alike():
    left, right = np.full(3, 56.522), np.full(2, 56.6)
    outcome = equivalence.compare(left, right, MARGIN, LEVEL)
    assert outcome.verdict == EQUIVALENT and outcome.agreement == outcome.equality
    assert outcome.agreement == pytest.approx((0.078, 0.078))
    assert equivalence.compare(left, left, MARGIN, LEVEL).verdict == EQUIVALENT
    assert equivalence.compare(left, right, 0.05, LEVEL).verdict == DIFFERENT
    rounded = np.full(3, 0.1)  # of which NumPy says a deviation of 1.7e-17
    assert rounded.std(ddof=1) > 0 and equivalence.deviation(rounded) == 0
    varied = equivalence.compare(left, np.array([56.4, 56.7]), MARGIN, LEVEL)
    assert varied.verdict == UNDECIDED and np.isfinite(varied.agreement).all()
