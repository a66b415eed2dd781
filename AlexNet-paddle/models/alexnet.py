"""AlexNet of "One weird trick for parallelizing convolutional neural networks" (Krizhevsky 2014).

https://arxiv.org/abs/1404.5997; one column in place of the two halves of the 2012 paper. Layers and
state-dict keys are torchvision's, so that its published weights can be carried over.
"""

import math

import paddle
from paddle import nn


class AlexNet(nn.Layer):
    """Five convolutions, three fully connected layers: 61,100,840 parameters at 1,000 classes.

    Images [N, 3, H, W] -> logits [N, num_classes], for H and W of 63 pixels or more.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(  # shapes for H = W = 224
            nn.Conv2D(3, 64, kernel_size=11, stride=4, padding=2),  # [N, 64, 55, 55]
            nn.ReLU(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 64, 27, 27]
            nn.Conv2D(64, 192, kernel_size=5, padding=2),  # [N, 192, 27, 27]
            nn.ReLU(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 192, 13, 13]
            nn.Conv2D(192, 384, kernel_size=3, padding=1),  # [N, 384, 13, 13]
            nn.ReLU(),
            nn.Conv2D(384, 256, kernel_size=3, padding=1),  # [N, 256, 13, 13]
            nn.ReLU(),
            nn.Conv2D(256, 256, kernel_size=3, padding=1),  # [N, 256, 13, 13]
            nn.ReLU(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 256, 6, 6]
        )
        self.avgpool = nn.AdaptiveAvgPool2D((6, 6))  # [N, 256, 6, 6] for any H and W
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )
        self.apply(init_weights)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = paddle.flatten(x, 1)  # [N, 9216]
        return self.classifier(x)  # [N, num_classes]


def init_weights(layer: nn.Layer) -> None:
    """Draw weights and biases uniformly within 1 / sqrt(fan_in), as PyTorch does by default.

    For the weights that is kaiming_uniform with a = sqrt(5). fan_in counts the inputs of one
    output: weight [in, out] of Linear has in, weight [out, in, k, k] of Conv2D has in * k * k.
    """
    if isinstance(layer, (nn.Conv2D, nn.Linear)):
        nn.initializer.KaimingUniform(negative_slope=math.sqrt(5), nonlinearity="leaky_relu")(
            layer.weight
        )
        inputs = layer.weight.shape[:1] if isinstance(layer, nn.Linear) else layer.weight.shape[1:]
        fan_in = math.prod(inputs)
        bound = 1 / math.sqrt(fan_in)
        if layer.bias is not None:  # a copy may leave biases out
            nn.initializer.Uniform(-bound, bound)(layer.bias)
