"""paddle.vision's networks with torchvision's settings, for tools/compare_libraries.py.

As they are shipped, these differ from torchvision's in a few settings, which the comparison names.
That it calls them the same once those settings are changed shows that nothing else differs.
"""

from paddle import nn
from paddle.vision import models


def _scale_in_training(network: nn.Layer) -> nn.Layer:
    """Let dropout scale by 1 / (1 - p) in training, as PyTorch does, not by 1 - p in evaluation."""
    for layer in network.sublayers():
        if isinstance(layer, nn.Dropout):
            layer.mode = "upscale_in_train"
    return network


def alexnet() -> nn.Layer:
    network = _scale_in_training(models.alexnet())
    last = network._conv5
    last._pool = nn.Sequential(last._pool, nn.AdaptiveAvgPool2D(6))  # for sizes other than 224
    return network


def _round_up(network: nn.Layer) -> nn.Layer:
    """Let pooling windows that reach over the edge count, as torchvision's SqueezeNet does."""
    for layer in network.sublayers():
        if isinstance(layer, nn.MaxPool2D):
            layer.ceil_mode = True
    return network


def squeezenet1_0() -> nn.Layer:
    return _round_up(_scale_in_training(models.squeezenet1_0()))


def squeezenet1_1() -> nn.Layer:
    network = _round_up(_scale_in_training(models.squeezenet1_1()))
    network._conv._updated_padding = [0, 0]
    return network


def inception_v3() -> nn.Layer:
    network = _scale_in_training(models.inception_v3())
    network.dropout.p = 0.5
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer._epsilon = 1e-3
    return network
