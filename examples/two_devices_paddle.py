"""The network of the 2012 paper as it was trained: half of each layer's kernels on either device.

`python -m paddle.distributed.launch --nproc_per_node 2 SCRIPT` starts two processes. In either,
SCRIPT (tests/trees/test_two_devices.py has one) calls start() of distributed.py, which joins them
and gives each a device of its own, and makes this network; both are given the same images. The
two devices speak to each other where the paper has it (figure 2): before convolution 3 and in the
fully connected layers. Together they are the grouped network of alexnet_paper.py: its weights, by
`half_of`, give its logits and its gradients.
"""

import paddle
import paddle.distributed as dist
from paddle import nn
from paddle.autograd import PyLayer

from models.alexnet_paper import POSITIVE, RAW, ResponseNorm, init_weights


class AlexNetTwoDevices(nn.Layer):
    """What one of the two devices holds. The keys are those of the grouped network.

    Images [N, 3, H, W] -> logits [N, num_classes], on both devices the same. Raises
    ValueError where `num_classes` is odd. To train it, seed dropout otherwise on each device, for
    else both drop the same units.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if num_classes % 2:
            raise ValueError(f"{num_classes} classes: of two devices each has half of the outputs")
        self.features = nn.Sequential(  # shapes for H = W = 227
            nn.Conv2D(3, 48, kernel_size=11, stride=4),  # [N, 48, 55, 55]
            nn.ReLU(),
            ResponseNorm(groups=1),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 48, 27, 27]
            nn.Conv2D(48, 128, kernel_size=5, padding=2),  # [N, 128, 27, 27]
            nn.ReLU(),
            ResponseNorm(groups=1),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 128, 13, 13]
            nn.Conv2D(256, 192, kernel_size=3, padding=1),  # [N, 192, 13, 13], from both devices
            nn.ReLU(),
            nn.Conv2D(192, 192, kernel_size=3, padding=1),  # [N, 192, 13, 13]
            nn.ReLU(),
            nn.Conv2D(192, 128, kernel_size=3, padding=1),  # [N, 128, 13, 13]
            nn.ReLU(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 128, 6, 6]
        )
        self.avgpool = nn.AdaptiveAvgPool2D((6, 6))
        self.classifier = nn.Sequential(  # each takes what both devices have
            nn.Linear(256 * 6 * 6, 2048),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 2048),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes // 2),
        )
        for name, layer in self.named_sublayers():
            init_weights(layer, bias=1.0 if name in POSITIVE else 0.0)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.features[:8](RAW * x)  # [N, 128, 13, 13]
        x = self.features[8:](Crossing.apply(x))  # [N, 128, 6, 6]
        x = self.avgpool(x)
        x = paddle.flatten(x, 1)  # [N, 4608]
        x = self.classifier[:3](Crossing.apply(x))  # [N, 2048]
        x = self.classifier[3:6](Crossing.apply(x))  # [N, 2048]
        x = self.classifier[6](Crossing.apply(x))  # [N, num_classes / 2]
        return Logits.apply(x)  # [N, num_classes]


class Crossing(PyLayer):
    """Give each device what both have: [N, C, ...] -> [N, 2 C, ...], the first device's first.

    Backwards, what a device gave goes into the loss by both, so its gradient is the sum of theirs.
    """

    @staticmethod
    def forward(ctx, own: paddle.Tensor) -> paddle.Tensor:
        parts = []
        dist.all_gather(parts, own)
        return paddle.concat(parts, axis=1)

    @staticmethod
    def backward(ctx, gradient: paddle.Tensor) -> paddle.Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return own_half(gradient)


class Logits(Crossing):
    """A crossing to the loss, which both devices compute: either has the whole gradient."""

    @staticmethod
    def backward(ctx, gradient: paddle.Tensor) -> paddle.Tensor:
        return own_half(gradient)


def own_half(x: paddle.Tensor) -> paddle.Tensor:
    """Return this device's part of x [N, 2 C, ...]: [N, C, ...]."""
    return x.chunk(2, axis=1)[dist.get_rank()]


def half_of(weights: dict[str, paddle.Tensor], rank: int) -> dict[str, paddle.Tensor]:
    """Return what device `rank` holds of the grouped network's state dict: half of each tensor.

    Tensors are split by their outputs, which lie on the last axis of Linear's [in, out] alone.
    """
    axes = {name: 1 if value.ndim == 2 else 0 for name, value in weights.items()}
    return {name: value.chunk(2, axes[name])[rank].clone() for name, value in weights.items()}
