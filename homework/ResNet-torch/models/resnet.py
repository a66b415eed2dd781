"""ResNet-18 of "Deep residual learning for image recognition" (He et al. 2015).

https://arxiv.org/abs/1512.03385; each block adds its input to what its two convolutions make of it.
"""

import math

import torch
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: [N, C, H, W] -> [N, D, H / stride, W / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))


class ResNet18(nn.Module):
    """Four stages of two blocks: 11,689,512 parameters at 1,000 classes and width 64.

    Images [N, 3, H, W] -> logits [N, num_classes]. `width` is the channels of the first stage.
    """

    def __init__(self, num_classes: int = 1000, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(  # shapes for H = W = 224 and width 64
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),  # [N, 64, 112, 112]
            nn.BatchNorm2d(width, eps=1e-5, momentum=0.1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # [N, 64, 56, 56]
        )
        self.stage1 = make_stage(width, width, stride=1)  # [N, 64, 56, 56]
        self.stage2 = make_stage(width, 2 * width, stride=2)  # [N, 128, 28, 28]
        self.stage3 = make_stage(2 * width, 4 * width, stride=2)  # [N, 256, 14, 14]
        self.stage4 = make_stage(4 * width, 8 * width, stride=2)  # [N, 512, 7, 7]
        self.pool = nn.AdaptiveAvgPool2d(1)  # [N, 512, 1, 1] for any H and W
        self.fc = nn.Linear(8 * width, num_classes)
        init_weights(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        x = torch.flatten(self.pool(x), 1)  # [N, 512]
        return self.fc(x)  # [N, num_classes]


def make_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return two blocks, of which the first one changes size and channels."""
    return nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))


def init_weights(network: nn.Module) -> None:
    """Draw new weights, layer by layer.

    Convolutions: normal, deviation sqrt(2 / fan_out); weight [out, in, k, k] has fan_out =
    out * k * k. Linear: weight and bias uniform within 1 / sqrt(fan_in), the number of its inputs.
    The last normalization of a block starts at 0, so that a block begins as its shortcut alone.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * math.prod(layer.kernel_size)
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / fan_out))
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -bound, bound)
        elif isinstance(layer, Block):
            nn.init.zeros_(layer.bn2.weight)
