"""What tests of changed copies of the trees need."""

import pytest

from common import trees
from common.trees import Edits, copy_tree

__all__ = ["SMALL", "Edits", "chosen", "copy_tree"]


# Hidden layers of 32 units in the paper's network too.
SMALL: Edits = [*trees.SMALL, ("models/alexnet_paper.py", "4096", "32")]


def chosen(faults: dict, often: set[str]) -> list:
    """Return the names of all faults as parameters of a test, those not in `often` as seldom."""
    assert often <= set(faults), often - set(faults)
    return [
        name if name in often else pytest.param(name, marks=pytest.mark.seldom) for name in faults
    ]
