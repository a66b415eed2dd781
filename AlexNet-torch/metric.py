"""Top-k accuracy, and what an evaluation adds up."""

from typing import Any

import numpy as np
import torch

import distributed
from common.training import Evaluation


def count_correct(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Count the samples whose label is among the `k` highest logits.

    Of equal logits the lower class comes first; NaN is never correct. With fewer than `k` classes
    every sample without NaN is correct. logits [N, C], labels [N], int64 -> count [], int64.
    """
    score = logits.gather(1, labels.unsqueeze(1))  # [N, 1]
    classes = torch.arange(logits.shape[1], device=logits.device)  # [C]
    behind = (logits < score) | ((logits == score) & (classes >= labels.unsqueeze(1)))  # [N, C]
    rank = (~behind).sum(1)  # [N], how many classes stand before the label
    known = ~torch.isnan(logits).any(1)  # [N]
    return ((rank < k) & known).sum()


class EvaluationMeter:
    """Adds up loss and correct samples over a split, each image counted once."""

    def __init__(self, loader: Any) -> None:
        self.seen = len(loader.dataset)  # images, of all processes
        self.loss_sum, self.correct1, self.correct5 = 0.0, 0, 0
        self.predicted, self.probability = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]

    def update(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: its mean loss [], logits [N, C], labels [N]."""
        self.loss_sum += loss * len(labels)
        self.correct1 += count_correct(logits, labels, k=1)
        self.correct5 += count_correct(logits, labels, k=5)
        probabilities = logits.softmax(dim=1)  # [N, C]
        self.predicted.append(probabilities.argmax(dim=1).cpu().numpy())
        self.probability.append(probabilities.amax(dim=1).cpu().numpy())

    def evaluation(self) -> Evaluation:
        """Return the means over all images, whatever the batches and the processes."""
        sums = [float(self.loss_sum), int(self.correct1), int(self.correct5)]
        loss_sum, correct1, correct5 = distributed.all_reduce_sum(sums)
        results = {
            "val_loss": loss_sum / self.seen,
            "val_top1": 100 * correct1 / self.seen,
            "val_top5": 100 * correct5 / self.seen,
        }
        predicted = distributed.gather(np.concatenate(self.predicted), self.seen)
        probability = distributed.gather(np.concatenate(self.probability), self.seen)
        return Evaluation(results, predicted, probability)
