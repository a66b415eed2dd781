"""Copies of the trees with changes in them, as a student's own port would be."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from common.paths import ROOT

# By these files the tools look at a tree; none of them trains.
INSTRUMENTS = ("probe.py", "rehearsal.py", "recordings.py", "layers.py")

Edits = list[tuple[str, str, str]]  # file, old text, new text

# Hidden layers of 32 units in place of 4,096, so that a comparison takes seconds; classifier.4
# stays square.
SMALL: Edits = [("models/alexnet.py", "4096", "32")]


def copy_tree(framework: str, target: Path, edits: Iterable[tuple[str, str, str]]) -> Path:
    """Copy a tree and change its text; an edit that finds nothing to change is an error."""
    shutil.copytree(
        ROOT / f"AlexNet-{framework}", target, ignore=shutil.ignore_patterns("__pycache__")
    )
    for file, old, new in edits:
        path = target / file
        text = path.read_text()
        assert old in text, f"{path} has no {old!r}"
        path.write_text(text.replace(old, new))
    return target
