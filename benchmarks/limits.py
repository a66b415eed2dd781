"""How fast AlexNet could train: its operations and bytes, counted from the layers' shapes.

A step cannot be faster than its matrix products at the machine's best rate for such products, or
than its bytes at the bandwidth of its memory (both measured by benchmarks/rates.py).
"""

import math

from common import networks
from common.networks import Counted

IMAGE_SIZE, CLASSES = 224, 1000
ALEXNET = [row for row in networks.count(networks.ALEXNET, IMAGE_SIZE) if row.parameters]


def flops(layers: list[Counted]) -> int:
    """Return the floating-point operations of a training step for one image.

    Each layer has three products of the same size, of two operations a multiply-add: forward,
    gradient of the weights, gradient of its input; the first layer needs no gradient of the image.
    What else there is (pooling, ReLU, dropout, biases) is less than 1 % and not counted.
    """
    return 2 * (3 * sum(layer.operations for layer in layers) - layers[0].operations)


def step_seconds(
    layers: list[Counted], batch: int, flops_per_s: float, bytes_per_s: float, itemsize: int
) -> float:
    """Return the least seconds of a training step of momentum SGD on `batch` images.

    Each product takes as long as its operations or its bytes, whichever is longer: both operands
    and the result once, in numbers of `itemsize` bytes. Then the float32 weights are updated:
    weight, gradient and momentum are read, weight and momentum written. All else (ReLU, pooling,
    dropout, casts) could be done in the cache and counts as nothing.
    """
    seconds = 0.0
    for number, layer in enumerate(layers):
        images = batch * (math.prod(layer.before) + math.prod(layer.shape))
        moved = itemsize * (math.prod(layer.weights) + images)
        once = max(2 * layer.operations * batch / flops_per_s, moved / bytes_per_s)
        seconds += once * (3 if number else 2)
    return seconds + 5 * 4 * sum(layer.parameters for layer in layers) / bytes_per_s
