"""What the metrics of given logits are, and the ways in which they are got wrong."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import softmax


@dataclass(frozen=True)
class Case:
    """Logits [N, C] and labels [N] that an evaluation was given in batches of these sizes."""

    logits: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray

    @cached_property
    def truth(self) -> dict[str, float]:
        """The metrics as they should be."""
        return true_metrics(self.logits, self.labels)


def true_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return val_loss, and val_top1 and val_top5 in per cent; of equal logits the first wins."""
    each = -np.log(softmax(logits, axis=1))[np.arange(len(labels)), labels]
    score = np.take_along_axis(logits, labels[:, None], axis=1)
    is_earlier = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > score) | ((logits == score) & is_earlier)).sum(axis=1)
    return {
        "val_loss": float(each.mean()),
        "val_top1": 100 * float((rank < 1).mean()),
        "val_top5": 100 * float((rank < 5).mean()),
    }


def known_metrics(case: Case, name: str) -> dict[str, float]:
    """Return, in words, the ways in which a metric is got wrong, with the value of each."""
    logits, labels, sizes = case.logits, case.labels, case.sizes
    batches = [np.split(array, np.cumsum(sizes)[:-1]) for array in (logits, labels)]
    each = [true_metrics(*batch)[name] for batch in zip(*batches, strict=True)]
    score = np.take_along_axis(logits, labels[:, None], axis=1)
    k = 5 if name == "val_top5" else 1
    strictly = 100 * ((logits >= score).sum(axis=1) <= k).mean()
    lucky = 100 * ((logits > score).sum(axis=1) < k).mean()
    without_last = np.average(each[:-1], weights=sizes[:-1]) if len(each) > 1 else np.nan
    right, truth = case.truth[name], case.truth
    return {
        "as it should be": right,
        "a fraction, not per cent": right / 100,
        "the mean of the batches' means: unequal batches count alike": float(np.mean(each)),
        "a fraction, and the mean of the batches' means": float(np.mean(each)) / 100,
        "the last batch alone": each[-1],
        "the last batch left out": without_last,
        "the sum, not divided by the number of samples": right * len(labels) / 100,
        "an error, not an accuracy": 100 - right,
        "top-1 in its place": truth["val_top1"],
        "top-5 in its place": truth["val_top5"],
        "padded to whole batches": float(np.sum(np.array(each) * sizes)) / (len(each) * sizes[0]),
        "ties counted as wrong": strictly if "top" in name else np.nan,
        "ties counted as correct": lucky if "top" in name else np.nan,
    }


def describe(case: Case, name: str, value: float) -> str:
    """Return how a metric's value comes about, in words."""
    if name not in case.truth:
        return "counted otherwise"
    for words, candidate in known_metrics(case, name).items():
        if abs(candidate - value) <= 1e-4 * max(abs(value), 1e-9):
            return words
    return "counted otherwise"
