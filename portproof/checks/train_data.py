"""The checkpoint train_data: what training sees, shuffled and augmented."""

from pathlib import Path

from portproof.checks.data import check_split
from portproof.core.streams import Images
from portproof.core.verdict import Verdict
from portproof.worker.client import Sides


def check_train_data(sides: Sides, folder: Path, images: Images) -> Verdict:
    """Compare `images.epochs` epochs of `train`, as check_data compares `val`."""
    return check_split("train_data", "train", sides, folder, images)
