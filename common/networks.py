"""The networks by name, as --model has them: what no framework is needed for."""

from collections.abc import Iterable

# Pixels of the smallest picture; below it the last pooling has nothing left to pool.
SMALLEST = {"alexnet": 63, "alexnet-paper": 67}
USUAL = {"alexnet": 224, "alexnet-paper": 227}  # pixels, of the published training
FILES = {"alexnet": "models/alexnet.py", "alexnet-paper": "models/alexnet_paper.py"}
# The second convolution, which lies elsewhere in each: its weight tells them apart.
_OWN_KEY = {"alexnet": "features.3.weight", "alexnet-paper": "features.4.weight"}


def of_weights(keys: Iterable[str]) -> str | None:
    """Return the name of the network whose weights have these keys; None where it is none."""
    found = set(keys)
    return next((name for name, key in _OWN_KEY.items() if key in found), None)
