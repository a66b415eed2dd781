"""How fast AlexNet could train: its operations and bytes, counted from the layers' shapes.

A step cannot be faster than its matrix products at the machine's best rate for such products, or
than its bytes at the bandwidth of its memory (both measured by benchmarks/rates.py).
"""

import math
from typing import NamedTuple


class Layer(NamedTuple):
    """A layer with weights, and how many numbers an image has before it and after it."""

    name: str
    shape: tuple[int, ...]  # of the weights, as torch has them: outputs, inputs, kernel
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    @property
    def parameters(self) -> int:
        return self.weights + self.shape[0]  # and the biases

    @property
    def macs(self) -> int:
        """The multiply-adds of the forward pass of an image."""
        return self.weights * self.outputs // self.shape[0]


IMAGE_SIZE, CLASSES = 224, 1000
ALEXNET = [  # after the first layer and the second, pooling leaves 27 x 27 and 13 x 13 places
    Layer("features.0", (64, 3, 11, 11), 3 * IMAGE_SIZE**2, 64 * 55**2),
    Layer("features.3", (192, 64, 5, 5), 64 * 27**2, 192 * 27**2),
    Layer("features.6", (384, 192, 3, 3), 192 * 13**2, 384 * 13**2),
    Layer("features.8", (256, 384, 3, 3), 384 * 13**2, 256 * 13**2),
    Layer("features.10", (256, 256, 3, 3), 256 * 13**2, 256 * 13**2),
    Layer("classifier.1", (4096, 9216), 9216, 4096),
    Layer("classifier.4", (4096, 4096), 4096, 4096),
    Layer("classifier.6", (CLASSES, 4096), 4096, CLASSES),
]


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
    return seconds + 5 * 4 * sum(layer.parameters for layer in layers) / bytes_per_s
