"""What an evaluation says; the sums that it is made of stand in each tree's metric.py."""

from typing import NamedTuple

import numpy as np


class Evaluation(NamedTuple):
    """What a network says of a split."""

    results: dict[str, float]  # val_loss; val_top1 and val_top5 in per cent
    predicted: np.ndarray  # [N], int64, classes in the order of the folder
    probability: np.ndarray  # [N], float32, of the predicted classes
