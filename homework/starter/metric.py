"""Top-k accuracy, in Paddle. The torch file: homework/ResNet-torch/metric.py."""

import paddle


def count_correct(logits: paddle.Tensor, labels: paddle.Tensor, k: int) -> paddle.Tensor:
    """Count the samples whose label is among the `k` highest logits.

    Of equal logits the lower class comes first. With fewer than `k` classes every sample is
    correct. logits [N, C], labels [N], int64 -> count [], int64.
    """
    raise NotImplementedError("write count_correct")
