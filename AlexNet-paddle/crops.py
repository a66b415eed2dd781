"""What a network says of several crops of each image."""

import math

import paddle
from paddle import nn


def classify(model: nn.Layer, images: paddle.Tensor) -> paddle.Tensor:
    """Return logits [N, C] of images [N, 3, S, S], or of their crops together, [N, K, 3, S, S].

    The logits of K crops are the logarithms of the mean of their probabilities, as the paper
    averages (section 4.1): their softmax is that mean.
    """
    if images.ndim < 5:
        return model(images)
    count = images.shape[1]
    each = [nn.functional.log_softmax(model(images[:, k]), axis=1) for k in range(count)]
    return paddle.stack(each).logsumexp(axis=0) - math.log(count)  # K times [N, C] -> [N, C]
