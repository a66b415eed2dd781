"""How fast AlexNet could train: its operations and bytes, counted from the layers' shapes.

A step cannot be faster than its matrix products at the machine's best rate for such products, or
than its bytes at the machine's memory bandwidth. The rates are measured (benchmarks/rates.py).
"""

import math
from typing import NamedTuple

# name, channels in and out; kernel, stride, padding; whether a pooling of 3 by 2 follows
CONVOLUTIONS = [
    ("features.0", 3, 64, (11, 4, 2), True),
    ("features.3", 64, 192, (5, 1, 2), True),
    ("features.6", 192, 384, (3, 1, 1), False),
    ("features.8", 384, 256, (3, 1, 1), False),
    ("features.10", 256, 256, (3, 1, 1), True),
]
# name, inputs and outputs; avgpool leaves 6 x 6 features a channel
LINEAR = [
    ("classifier.1", 256 * 6 * 6, 4096),
    ("classifier.4", 4096, 4096),
    ("classifier.6", 4096, None),  # the classes
]


class Layer(NamedTuple):
    """A layer with weights. `macs` multiply-adds of its forward pass; all but weights an image."""

    name: str
    shape: tuple[int, ...]  # of the weights, as torch has them
    biases: int
    macs: int
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        return math.prod(self.shape)


def convolution(
    name: str, channels: int, filters: int, window: tuple[int, int, int], size: int
) -> tuple[Layer, int]:
    """Return the layer for inputs [channels, size, size], and its outputs' height and width."""
    kernel, stride, padding = window  # pixels
    out = (size + 2 * padding - kernel) // stride + 1
    shape = (filters, channels, kernel, kernel)
    inputs, outputs = channels * size * size, filters * out * out
    return Layer(name, shape, filters, math.prod(shape) * out * out, inputs, outputs), out


def alexnet(image_size: int = 224, classes: int = 1000) -> list[Layer]:
    """Return AlexNet's layers with weights, in their order."""
    layers, size = [], image_size
    for name, channels, filters, window, pooled in CONVOLUTIONS:
        layer, size = convolution(name, channels, filters, window, size)
        layers.append(layer)
        if pooled:
            size = (size - 3) // 2 + 1
    for name, inputs, outputs in LINEAR:
        outputs = outputs or classes
        layers.append(Layer(name, (outputs, inputs), outputs, inputs * outputs, inputs, outputs))
    return layers


def flops(layers: list[Layer]) -> int:
    """Return the floating-point operations of a training step for one image.

    Each layer has three products of the same size, of two operations a multiply-add: forward,
    gradient of the weights, gradient of its input; the first layer needs no gradient of the image.
    What else there is (pooling, ReLU, dropout, biases) is less than 1 % and not counted.
    """
    return 2 * (3 * sum(layer.macs for layer in layers) - layers[0].macs)


def step_seconds(
    layers: list[Layer], batch: int, flops_per_s: float, bytes_per_s: float, itemsize: int
) -> float:
    """Return the least seconds of a training step of momentum SGD on `batch` images.

    Each product takes as long as its operations or its bytes, whichever is longer: both operands
    and the result once, in numbers of `itemsize` bytes. Then the float32 weights are updated:
    weight, gradient and momentum are read, weight and momentum written. All else (ReLU, pooling,
    dropout, casts) could be done in the cache and counts as nothing.
    """
    seconds = 0.0
    for number, layer in enumerate(layers):
        moved = itemsize * (layer.weights + batch * (layer.inputs + layer.outputs))
        once = max(2 * layer.macs * batch / flops_per_s, moved / bytes_per_s)
        seconds += once * (3 if number else 2)
    parameters = sum(layer.weights + layer.biases for layer in layers)
    return seconds + 5 * 4 * parameters / bytes_per_s
