"""The loss, one step of training, and the evaluation. The loop over epochs is AlexNet's.

The torch file: homework/ResNet-torch/loop.py.
"""

from collections.abc import Iterable

import paddle
from paddle import nn


def make_loss(smoothing: float = 0.0) -> nn.Layer:
    """Return the loss: logits [N, C], labels [N] -> the mean over the batch, [].

    `smoothing` is the share of label smoothing.
    """
    raise NotImplementedError("write make_loss")


def train_step(
    model: nn.Layer,
    criterion: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    scheduler: paddle.optimizer.lr.LRScheduler,
    images: paddle.Tensor,
    labels: paddle.Tensor,
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Take one step on images [N, 3, S, S] and labels [N]; return the loss [] and logits [N, C].

    The model is in training mode already. Five things happen, in an order that matters; the next
    step must find nothing left of this one's gradients.
    """
    raise NotImplementedError("write train_step")


def evaluate(
    model: nn.Layer, criterion: nn.Layer, batches: Iterable[tuple[paddle.Tensor, paddle.Tensor]]
) -> dict[str, float]:
    """Measure the model on batches of images [N, 3, S, S] and labels [N], whatever their sizes.

    Returns val_loss, the mean over all images, and val_top1 and val_top5 in per cent. No
    gradients are wanted, and the last batch may be smaller than the others.
    """
    raise NotImplementedError("write evaluate")
