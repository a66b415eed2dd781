"""What a network says of several crops of each image."""

import math

import torch
from torch import nn


def classify(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return logits [N, C] of images [N, 3, S, S], or of their crops together, [N, K, 3, S, S].

    The logits of K crops are the logarithms of the mean of their probabilities, as the paper
    averages (section 4.1): their softmax is that mean.
    """
    if images.ndim < 5:
        return model(images)
    count = images.shape[1]
    each = [model(images[:, k]).log_softmax(dim=1) for k in range(count)]  # K times [N, C]
    return torch.stack(each).logsumexp(dim=0) - math.log(count)
