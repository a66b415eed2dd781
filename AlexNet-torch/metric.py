"""Top-k accuracy."""

import torch


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
