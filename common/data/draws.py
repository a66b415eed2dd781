"""Random numbers drawn once, outside both frameworks.

Every number is a function of (seed, purpose, epoch, index) alone. So both trees see the same images
in the same order with any number of workers, and a resumed run continues where it stopped. The
generator is portproof's (portproof/numeric/philox.py).
"""

import enum
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portproof.numeric.philox import uniform, words

Area = tuple[float, float]  # smallest and largest share of the image's area
Aspect = tuple[float, float]  # smallest and largest width / height
Listener = Callable[[str, dict[str, Any], Any], None]  # of name, arguments, result

DEFAULT_AREA: Area = (0.08, 1.0)
DEFAULT_ASPECT: Aspect = (3 / 4, 4 / 3)
CROP_ATTEMPTS = 10


class Purpose(enum.IntEnum):
    """What a number is for; one independent stream each."""

    ORDER = 1
    CROP = 2
    FLIP = 3
    DROPOUT = 4
    SAMPLE = 5
    WEIGHTS = 6
    COLOUR = 9  # 7 and 8 are portproof's (portproof/numeric/philox.py)


class Crop(NamedTuple):
    """A box in pixels of the decoded image."""

    top: int
    left: int
    height: int
    width: int

    def scaled(self, by_height: float, by_width: float) -> "Crop":
        """Return the box in the same image at another size: its edges at the nearest pixels."""
        top, bottom = round(self.top * by_height), round((self.top + self.height) * by_height)
        left, right = round(self.left * by_width), round((self.left + self.width) * by_width)
        top, left = max(min(top, bottom - 1), 0), max(min(left, right - 1), 0)
        return Crop(top, left, max(bottom - top, 1), max(right - left, 1))


_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Have `listener` called at each draw of an order, a crop or a flip here; None: no more."""
    global _listener
    _listener = listener


def announced(name: str) -> Callable[[Callable], Callable]:
    """Return a decorator of a draw: the listener gets its arguments by name, and what is drawn."""

    def decorate(draw: Callable) -> Callable:
        @functools.wraps(draw)
        def draw_and_tell(*args: Any, **kwargs: Any) -> Any:
            drawn = draw(*args, **kwargs)
            if _listener is not None:
                bound = inspect.signature(draw).bind(*args, **kwargs)
                bound.apply_defaults()
                _listener(name, bound.arguments, drawn)
            return drawn

        return draw_and_tell

    return decorate


@announced("order")
def order(seed: int, epoch: int, length: int) -> np.ndarray:
    """Return the order in which `epoch` visits `length` samples: a permutation, [length], int64."""
    keys = words(seed, Purpose.ORDER, epoch, 0, length)
    return np.argsort(keys, kind="stable")


@announced("crop")
def random_crop(
    seed: int,
    epoch: int,
    index: int,
    size: tuple[int, int],
    area: Area = DEFAULT_AREA,
    aspect: Aspect = DEFAULT_ASPECT,
) -> Crop:
    """Draw the box of a random resized crop from an image of `size`, width and height in pixels.

    The procedure of Inception-style training ("Going deeper with convolutions", section 6), as
    torchvision's RandomResizedCrop has it: a share of the area, an aspect ratio uniform in its
    logarithm, ten attempts, then the largest central box within the aspect range.
    """
    width, height = size
    draws = uniform(seed, Purpose.CROP, epoch, index, 4 * CROP_ATTEMPTS).reshape(-1, 4)
    log_aspect = math.log(aspect[0]), math.log(aspect[1])
    for u_area, u_aspect, u_top, u_left in draws.tolist():
        target_area = width * height * (area[0] + (area[1] - area[0]) * u_area)
        ratio = math.exp(log_aspect[0] + (log_aspect[1] - log_aspect[0]) * u_aspect)
        w = round(math.sqrt(target_area * ratio))
        h = round(math.sqrt(target_area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(u_top * (height - h + 1))
            left = int(u_left * (width - w + 1))
            return Crop(top, left, h, w)
    return _central_crop(width, height, aspect)


def _central_crop(width: int, height: int, aspect: Aspect) -> Crop:
    """Return the largest central box whose width / height lies within `aspect`."""
    w, h = width, height
    if width / height < aspect[0]:
        h = round(width / aspect[0])
    elif width / height > aspect[1]:
        w = round(height * aspect[1])
    return Crop((height - h) // 2, (width - w) // 2, h, w)


@announced("crop")
def shifted_crop(seed: int, epoch: int, index: int, size: tuple[int, int], share: float) -> Crop:
    """Draw a square box of `share` of the shorter side, within the central square (section 4.1)."""
    width, height = size
    square = min(width, height)
    side = max(round(share * square), 1)
    drawn = uniform(seed, Purpose.CROP, epoch, index, 2).tolist()
    top, left = (int(u * (square - side + 1)) for u in drawn)
    return Crop((height - square) // 2 + top, (width - square) // 2 + left, side, side)


@announced("flip")
def flip(seed: int, epoch: int, index: int) -> bool:
    """Draw whether the image is mirrored left to right: yes in one case of two."""
    return bool(uniform(seed, Purpose.FLIP, epoch, index, 1)[0] < 0.5)


def colour(seed: int, epoch: int, index: int) -> np.ndarray:
    """Draw three numbers of the normal distribution N(0, 1), by Box and Muller: [3], float64."""
    u = uniform(seed, Purpose.COLOUR, epoch, index, 6)
    radius = np.sqrt(-2 * np.log(1 - u[:3]))  # 1 - u is never 0
    return radius * np.cos(2 * np.pi * u[3:])


def dropout_seed(seed: int, epoch: int, step: int) -> int:
    """Return the seed of a framework's dropout in one step (31 bits): it has no state to save."""
    return int(words(seed, Purpose.DROPOUT, epoch, step, 1)[0] >> np.uint64(33))


def weights_seed(seed: int) -> int:
    """Return the seed that a framework's own initialization starts from (31 bits)."""
    return int(words(seed, Purpose.WEIGHTS, 0, 0, 1)[0] >> np.uint64(33))
