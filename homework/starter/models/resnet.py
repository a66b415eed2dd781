"""ResNet-18 of "Deep residual learning for image recognition" (He et al. 2015), in Paddle.

https://arxiv.org/abs/1512.03385; the torch file: homework/ResNet-torch/models/resnet.py. Names of
layers and helpers are up to you; the grading calls ResNet18(num_classes=..., width=...).
"""

import paddle
from paddle import nn


class ResNet18(nn.Layer):
    """Four stages of two blocks: 11,689,512 parameters at 1,000 classes and width 64.

    Images [N, 3, H, W] -> logits [N, num_classes]. `width` is the channels of the first stage.
    """

    def __init__(self, num_classes: int = 1000, width: int = 64) -> None:
        """Make the layers, then call init_weights.

        Take every argument of every layer of the torch file, and look up its name and its default
        in Paddle. The block is a class of its own; write it above this one.
        """
        super().__init__()
        raise NotImplementedError("make the layers of ResNet18")

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the logits [N, num_classes] of images [N, 3, H, W], for any H and W."""
        raise NotImplementedError("write the forward pass of ResNet18")


def init_weights(network: nn.Layer) -> None:
    """Draw new weights from the same distributions as the torch file does, layer by layer.

    Do not trust a framework's defaults, and count what comes in and what goes out by the shape that
    Paddle gives a weight.
    """
    raise NotImplementedError("write init_weights")
