"""Faults that every run of the tests plants, and those that --all-faults plants too."""

import pytest


def chosen(faults: dict, often: set[str]) -> list:
    """Return the names of all faults as parameters of a test, those not in `often` as seldom."""
    assert often <= set(faults), often - set(faults)
    seldom = pytest.mark.seldom
    return [name if name in often else pytest.param(name, marks=seldom) for name in faults]
