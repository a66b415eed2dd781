"""The networks by name, as --model has them: what no framework is needed for."""

from collections.abc import Iterable

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
