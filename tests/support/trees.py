"""Copies of the trees with changes in them, as a student's own port would be; and runs of them."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from common.paths import ROOT
from tests.support.helpers import assert_success, run_warm
from tests.support.planting import Edit, plant

Edits = list[Edit]

# Hidden layers of 32 units in place of 4,096, so that a comparison takes seconds; classifier.4
# stays square.
SMALL: Edits = [Edit("4096", "32", name, every=True) for name in ("AlexNet", "AlexNetPaper")]
# A training of one epoch, on the images of make_folder, that takes a second or two.
TINY = ["--recipe", "sample", "--image-size", 63, "--batch-size", 6, "--workers", 0]
TINY += ["--epochs", 1, "--warmup-epochs", 0]

# What a run leaves, beside its best and its last checkpoint.
RUN_FILES = {"args.json", "metrics.jsonl", "curves.png", "misclassified.html", "model_card.md"}


def copy_tree(framework: str, target: Path, edits: Iterable[Edit]) -> Path:
    """Copy a tree and change its code; an edit that finds nothing to change is an error."""
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / f"AlexNet-{framework}", target, ignore=compiled)
    plant(target, edits)
    return target


def run_train(
    framework: str, *options: object, tree: Path | None = None, **environment: str
) -> subprocess.CompletedProcess:
    """Run train.py of one tree, or of a copy of it."""
    tree = tree or ROOT / f"AlexNet-{framework}"
    return run_warm(framework, tree / "train.py", *options, **environment)


def run_train_changed(
    framework: str, change: str, *options: object, tree: Path, **environment: str
) -> subprocess.CompletedProcess:
    """Run train.py of a tree in a process in which the Python text `change` has run before."""
    program = f"""
import sys
sys.path.insert(0, {str(tree)!r})
{change}
import train
train.errors.run(lambda: train.main({[str(option) for option in options]!r}))
"""
    return run_warm(framework, "-c", program, **environment)


def run_parts(
    framework: str, out_dir: Path, *options: object, tree: Path | None = None, **parts: dict
) -> dict[str, dict]:
    """Run parts of one tree or a copy (tests/support/tree_parts.py); return the arrays of each."""
    out_dir.mkdir(parents=True, exist_ok=True)
    request = out_dir / "request.json"
    words = [str(option) for option in options]
    request.write_text(json.dumps({"arguments": words, **parts}, default=str))
    tree = tree or ROOT / f"AlexNet-{framework}"
    assert_success(run_warm(framework, "-m", "tests.support.tree_parts", tree, request, out_dir))
    recorded = {}
    for part in parts:
        with np.load(out_dir / f"{part}.npz") as arrays:
            recorded[part] = dict(arrays)
    return recorded
