"""The 2012 paper's networks at the size of CIFAR-10, and each with one of its ideas taken out.

`python -m experiments.claims` trains them side by side. `SmallPaper` has all that the paper's
network has, at a quarter of its width and for images of 28 pixels, so that an epoch takes seconds
on one core. `FourLayers` stands for the network of the paper's figure 1.
"""

import math
from functools import partial

import paddle
from paddle import nn

from models.alexnet import init_weights
from models.alexnet_paper import RAW, ResponseNorm

WIDTHS = (24, 64, 96, 96, 64)  # kernels of the five convolutions: a quarter of the paper's
# Half of them, but for the last convolution, which the paper leaves as it is (section 3.2): most
# parameters lie in the layer after it, and both networks are to have about as many.
HALF_WIDTHS = (12, 32, 48, 48, 64)


class SmallPaper(nn.Layer):
    """Five convolutions, three fully connected layers, in the order of alexnet_paper.py.

    Images [N, 3, H, W] -> logits [N, num_classes], for H and W of 27 pixels or more. Each option
    takes out one idea of the paper: `norm` response normalization, `window` = 2 pooling windows
    that overlap, `widths` and `groups` the half of the kernels that lies on another GPU.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.5,
        norm: bool = True,
        window: int = 3,
        widths: tuple[int, ...] = WIDTHS,
        groups: int = 2,
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = widths

        def normalization() -> nn.Layer:
            return ResponseNorm(groups, RAW) if norm else nn.Identity()

        self.features = nn.Sequential(  # shapes for H = W = 28; sizes are odd: see the pooling
            nn.Conv2D(3, c1, kernel_size=5, stride=2, padding=3),  # [N, 24, 15, 15]
            nn.ReLU(),
            normalization(),
            nn.MaxPool2D(kernel_size=window, stride=2),  # [N, 24, 7, 7] with either window
            nn.Conv2D(c1, c2, kernel_size=5, padding=2, groups=groups),  # [N, 64, 7, 7]
            nn.ReLU(),
            normalization(),
            nn.MaxPool2D(kernel_size=window, stride=2),  # [N, 64, 3, 3]
            nn.Conv2D(c2, c3, kernel_size=3, padding=1),  # [N, 96, 3, 3], from both halves
            nn.ReLU(),
            nn.Conv2D(c3, c4, kernel_size=3, padding=1, groups=groups),  # [N, 96, 3, 3]
            nn.ReLU(),
            nn.Conv2D(c4, c5, kernel_size=3, padding=1, groups=groups),  # [N, 64, 3, 3]
            nn.ReLU(),
            nn.MaxPool2D(kernel_size=window, stride=2),  # [N, 64, 1, 1]
        )
        self.avgpool = nn.AdaptiveAvgPool2D((1, 1))  # changes nothing at 28; for other H and W
        self.classifier = nn.Sequential(
            nn.Linear(c5, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, num_classes),
        )
        self.apply(keep_variance)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = paddle.flatten(x, 1)  # [N, 64]
        return self.classifier(x)  # [N, num_classes]


def keep_variance(layer: nn.Layer) -> None:
    """Draw weights from the normal distribution of variance 2 / fan_in; set biases to 0.

    With ReLUs the numbers stay as large from layer to layer (https://arxiv.org/abs/1502.01852). The
    paper's deviation of 0.01 fits its own fan_in: in a network as narrow as this one they vanish,
    and it does not begin to learn.
    """
    if isinstance(layer, (nn.Conv2D, nn.Linear)):
        fan_in = math.prod(layer.weight.shape[1:])  # weight [out, in, k, k]
        if isinstance(layer, nn.Linear):
            fan_in = layer.weight.shape[0]  # weight [in, out]
        nn.initializer.Normal(std=math.sqrt(2 / fan_in))(layer.weight)
        nn.initializer.Constant(0.0)(layer.bias)


class FourLayers(nn.Layer):
    """Three convolutions and a fully connected layer, with ReLUs or another activation.

    Images [N, 3, H, W] -> logits [N, num_classes], for H and W of 15 pixels or more. The paper
    does not say more of its network of figure 1 than that it has four layers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.0,
        activation: type[nn.Layer] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(  # shapes for H = W = 28
            nn.Conv2D(3, 32, kernel_size=5, padding=2),  # [N, 32, 28, 28]
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 32, 13, 13]
            activation(),  # after the pooling: both rise, so the result is the same, for less work
            nn.Conv2D(32, 32, kernel_size=5, padding=2),  # [N, 32, 13, 13]
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 32, 6, 6]
            activation(),
            nn.Conv2D(32, 64, kernel_size=5, padding=2),  # [N, 64, 6, 6]
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 64, 2, 2]
            activation(),
        )
        self.avgpool = nn.AdaptiveAvgPool2D((2, 2))  # changes nothing at 28; for other H and W
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(64 * 2 * 2, num_classes))
        self.apply(init_weights)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = paddle.flatten(x, 1)  # [N, 256]
        return self.classifier(x)  # [N, num_classes]


VARIANTS = {  # by name, as --model has it
    "small": SmallPaper,
    "small-no-norm": partial(SmallPaper, norm=False),
    "small-plain-pooling": partial(SmallPaper, window=2),
    "small-half-width": partial(SmallPaper, widths=HALF_WIDTHS, groups=1),
    "four-layers": FourLayers,
    "four-layers-tanh": partial(FourLayers, activation=nn.Tanh),
}
