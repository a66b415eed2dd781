"""Top-k accuracy."""

import torch


def count_correct(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Count the samples whose label is among the `k` highest logits.

    Of equal logits the lower class comes first. With fewer than `k` classes every sample is
    correct. logits [N, C], labels [N], int64 -> count [], int64.
    """
    order = logits.argsort(dim=1, descending=True, stable=True)  # [N, C], classes
    return (order[:, :k] == labels.unsqueeze(1)).any(dim=1).sum()
