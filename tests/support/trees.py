"""Copies of the trees with changes in them, as a student's own port would be."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from common.paths import ROOT
from tests.support.planting import Edit, plant

Edits = list[Edit]

# Hidden layers of 32 units in place of 4,096, so that a comparison takes seconds; classifier.4
# stays square.
SMALL: Edits = [Edit("4096", "32", name, every=True) for name in ("AlexNet", "AlexNetPaper")]


def copy_tree(framework: str, target: Path, edits: Iterable[Edit]) -> Path:
    """Copy a tree and change its code; an edit that finds nothing to change is an error."""
    shutil.copytree(
        ROOT / f"AlexNet-{framework}", target, ignore=shutil.ignore_patterns("__pycache__")
    )
    plant(target, edits)
    return target
