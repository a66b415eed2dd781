"""The networks by name, as --model has them: what no framework is needed for."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from portproof.system.errors import UserError

# The networks of experiments/claims.py: each differs from another in one thing.
SMALL = dict.fromkeys(["small", "small-no-norm", "small-plain-pooling", "small-half-width"], 27)
SMALL |= dict.fromkeys(["four-layers", "four-layers-tanh"], 15)
# Pixels of the smallest image; below it the last pooling has nothing left to pool.
SMALLEST = {"alexnet": 63, "alexnet-paper": 67, **SMALL}
USUAL = {"alexnet": 224, "alexnet-paper": 227, **dict.fromkeys(SMALL, 28)}  # pixels, in training
ABOUT = {
    "alexnet": 'The one-column network of A. Krizhevsky, "One weird trick for parallelizing '
    'convolutional neural networks", 2014, https://arxiv.org/abs/1404.5997',
    "alexnet-paper": 'The network of A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet '
    'classification with deep convolutional neural networks", 2012',
    **{name: f"`{name}` of models/small.py, a network for experiments" for name in SMALL},
}
SMALLEST_IMAGE, LARGEST_IMAGE = min(SMALLEST.values()), 4096  # pixels, of any network
# The second convolution, which lies elsewhere in each: its weight tells them apart.
_OWN_KEY = {"alexnet": "features.3.weight", "alexnet-paper": "features.4.weight"}


def of_weights(keys: Iterable[str]) -> str | None:
    """Return the name of the network whose weights have these keys; None where it is none."""
    known = set(keys)
    return next((name for name, key in _OWN_KEY.items() if key in known), None)


@dataclass(frozen=True)
class Layer:
    """A layer as a paper states it. `size` is the kernel's width; `groups` the halves it has."""

    name: str
    kind: str  # conv, pool, linear; ReLU, LRN and dropout change no shape and have no parameters
    outputs: int = 0
    size: int = 0
    stride: int = 1
    padding: int = 0
    groups: int = 1


@dataclass(frozen=True)
class Counted:
    """A layer, and the shapes of an image before it and after it: channels, height, width."""

    layer: Layer
    before: tuple[int, ...]
    weights: tuple[int, ...]  # their shape as torch has them: outputs, inputs, kernel
    shape: tuple[int, ...]

    @property
    def neurons(self) -> int:
        """How many numbers the layer gives; pooling only passes on what neurons gave."""
        return math.prod(self.shape) if self.layer.outputs else 0

    @property
    def parameters(self) -> int:
        return math.prod(self.weights) + self.layer.outputs  # and the biases

    @property
    def operations(self) -> int:
        """The multiply-adds of the forward pass: each weight is used once at every position."""
        return math.prod(self.weights) * math.prod(self.shape[1:])


ALEXNET = (  # that of the trees
    Layer("features.0", "conv", 64, 11, 4, 2),
    Layer("features.2", "pool", 0, 3, 2),
    Layer("features.3", "conv", 192, 5, 1, 2),
    Layer("features.5", "pool", 0, 3, 2),
    Layer("features.6", "conv", 384, 3, 1, 1),
    Layer("features.8", "conv", 256, 3, 1, 1),
    Layer("features.10", "conv", 256, 3, 1, 1),
    Layer("features.12", "pool", 0, 3, 2),
    Layer("classifier.1", "linear", 4096),
    Layer("classifier.4", "linear", 4096),
    Layer("classifier.6", "linear", 1000),
)


def count(layers: Iterable[Layer], pixels: int) -> list[Counted]:
    """Follow an image [3, pixels, pixels] through the layers. Raises UserError if too small."""
    shape: tuple[int, ...] = (3, pixels, pixels)
    counted = []
    for layer in layers:
        before, outputs = shape, layer.outputs
        if layer.kind == "linear":
            weights, shape = (outputs, math.prod(before)), (outputs,)
        else:
            width = (before[1] + 2 * layer.padding - layer.size) // layer.stride + 1
            if width < 1:
                raise UserError(f"{pixels} pixels are too few for {layer.name}; take more")
            weights = (outputs, before[0] // layer.groups, layer.size, layer.size)
            shape = (outputs or before[0], width, width)
        counted.append(Counted(layer, before, weights, shape))
    return counted
