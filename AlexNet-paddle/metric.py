"""Top-k accuracy."""

import paddle


def count_correct(logits: paddle.Tensor, labels: paddle.Tensor, k: int) -> paddle.Tensor:
    """Count the samples whose label is among the `k` highest logits.

    Of equal logits the lower class comes first; NaN is never correct. With fewer than `k` classes
    every sample without NaN is correct. logits [N, C], labels [N], int64 -> count [], int64.
    """
    score = logits.take_along_axis(labels.unsqueeze(1), axis=1)  # [N, 1]
    classes = paddle.arange(logits.shape[1])  # [C]
    behind = (logits < score) | ((logits == score) & (classes >= labels.unsqueeze(1)))  # [N, C]
    rank = (~behind).sum(1)  # [N], how many classes stand before the label
    known = ~paddle.isnan(logits).any(1)  # [N]
    return ((rank < k) & known).sum()
