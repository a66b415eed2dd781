"""AlexNet of "ImageNet classification with deep convolutional neural networks" (2012).

https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
The paper trained it on two GPUs with half of each layer's kernels on either, which speak to each
other in some layers alone; here that is one network with convolutions in two groups.
"""

import paddle
from paddle import nn

# What the paper starts with biases of 1, so that the ReLUs have positive inputs from the beginning:
# convolutions 2, 4 and 5 and the hidden fully connected layers (section 5).
POSITIVE = ("features.4", "features.10", "features.12", "classifier.0", "classifier.3")
# The paper's pixels are raw, 0 to 255 less their mean (section 2), and its constants are made for
# such numbers. The loaders' have deviation 1; raw ones of ImageNet have 255 times presets.STD.
RAW = 57.6


class AlexNetPaper(nn.Layer):
    """Five convolutions, three fully connected layers: 60,965,224 parameters at 1,000 classes.

    Images [N, 3, H, W] -> logits [N, num_classes], for H and W of 67 pixels or more. The paper
    says 224, with which its own sizes of the layers do not come out; with 227 they do.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(  # shapes for H = W = 227
            nn.Conv2D(3, 96, kernel_size=11, stride=4),  # [N, 96, 55, 55]
            nn.ReLU(),
            ResponseNorm(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 96, 27, 27], windows overlap
            nn.Conv2D(96, 256, kernel_size=5, padding=2, groups=2),  # [N, 256, 27, 27]
            nn.ReLU(),
            ResponseNorm(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 256, 13, 13]
            nn.Conv2D(256, 384, kernel_size=3, padding=1),  # [N, 384, 13, 13], from both halves
            nn.ReLU(),
            nn.Conv2D(384, 384, kernel_size=3, padding=1, groups=2),  # [N, 384, 13, 13]
            nn.ReLU(),
            nn.Conv2D(384, 256, kernel_size=3, padding=1, groups=2),  # [N, 256, 13, 13]
            nn.ReLU(),
            nn.MaxPool2D(kernel_size=3, stride=2),  # [N, 256, 6, 6]
        )
        self.avgpool = nn.AdaptiveAvgPool2D((6, 6))  # changes nothing at 227; for other H and W
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        for name, layer in self.named_sublayers():
            init_weights(layer, bias=1.0 if name in POSITIVE else 0.0)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.features(RAW * x)
        x = self.avgpool(x)
        x = paddle.flatten(x, 1)  # [N, 9216]
        return self.classifier(x)  # [N, num_classes]


class ResponseNorm(nn.LocalResponseNorm):
    """Local response normalization with the paper's constants (section 3.3), each half by itself.

    b_i = a_i / (2 + 1e-4 * sum of a_j^2 over the 5 channels around i)^0.75: what lies on the other
    GPU is not there to be summed. The framework takes the mean over the 5 in place of the sum, so
    its alpha is 5 times the paper's. Of numbers that are `raw` times smaller than the paper's it
    takes the squares as large as they would be.
    """

    def __init__(self, groups: int = 2, raw: float = 1.0) -> None:
        super().__init__(size=5, alpha=5 * 1e-4 * raw**2, beta=0.75, k=2.0)
        self.groups = groups

    @paddle.jit.not_to_static  # which would ask for the shape as it runs
    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        _, c, h, w = x.shape
        halves = x.reshape([-1, c // self.groups, h, w])  # [2 N, C / 2, H, W]
        return super().forward(halves).reshape([-1, c, h, w])  # [N, C, H, W]


def init_weights(layer: nn.Layer, bias: float) -> None:
    """Draw weights from the normal distribution of deviation 0.01; set every bias to `bias`."""
    if isinstance(layer, (nn.Conv2D, nn.Linear)):
        nn.initializer.Normal(std=0.01)(layer.weight)
        if layer.bias is not None:  # a copy may leave biases out
            nn.initializer.Constant(bias)(layer.bias)
