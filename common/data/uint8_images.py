"""Images as bytes, for the faster loader: the same draws, and a faster resize.

OpenCV resizes in a fifth of Pillow's time. Both are bilinear. Where they enlarge, they differ by
rounding alone; where they make smaller, Pillow averages over all the pixels that fall into one, and
OpenCV over the four nearest (from half the size on, over all of them too).
"""

import argparse
from functools import cache
from types import ModuleType

import numpy as np
from PIL import Image

from common.data import draws, pca_colour
from common.data.batches import Key
from common.data.draws import Crop
from common.data.folder import FolderIndex
from common.data.image_files import read_crop
from common.data.prepared_copy import open_split
from common.data.resizing import centre, shorter_side
from portproof.files.images import read_rgb
from portproof.system.errors import UserError


@cache
def opencv() -> ModuleType:
    """Return OpenCV, 15 MB, where it is used. Raises UserError where it is not installed."""
    try:
        import cv2
    except ImportError:  # an extra: see pyproject.toml
        raise UserError(
            "--fast and --cache need OpenCV: install it by "
            ".venv/bin/python -m pip install --editable '.[fast]', or leave them out"
        ) from None
    cv2.setNumThreads(1)  # the loader has threads of its own
    return cv2


class Uint8Images:
    """The images of one split as uint8, from their files or from a prepared copy.

    Training has the crops and flips of `FolderDataset`, evaluation its pixels. `shape` is
    [3, S, S], and [S, S, 3] with --channels-last.
    """

    def __init__(self, index: FolderIndex, args: argparse.Namespace, train: bool) -> None:
        """Raises UserError where OpenCV is not installed, and as `open_split` with --cache."""
        opencv()  # that it is missing is said before the training
        self.index = index
        self.args = args
        self.train = train
        self.prepared = args.cache and open_split(index, args.cache, args.resize_size)
        self.noise = pca_colour.of_run(index, args) if train else None
        size = args.image_size
        self.shape = (size, size, 3) if args.channels_last else (3, size, size)

    def __len__(self) -> int:
        return len(self.index)

    def load(self, key: Key, out: np.ndarray) -> int:
        """Write the pixels to `out` [*shape]; return the label. Raises UserError at damage."""
        epoch, index = key
        if self.train and self.args.train_crop != "centre":
            pixels = resize(self.cut_out(epoch, index), self.args.image_size)
            if draws.flip(self.args.seed, epoch, index):
                pixels = opencv().flip(pixels, 1)
        else:
            image = shorter_side(self.whole(index), self.args.resize_size)
            pixels = np.asarray(centre(image, self.args.image_size))
        if self.noise:
            pixels = add_colour(pixels, self.noise.draw(epoch, index))
        if self.args.channels_last:
            out[:] = pixels
        else:
            opencv().split(pixels, list(out))  # into the three planes
        return self.index.labels[index]

    def cut_out(self, epoch: int, index: int) -> np.ndarray:
        """Return the part that is drawn of an image, [H, W, 3]."""
        args = self.args

        def draw(*size: int) -> Crop:
            if args.train_crop == "shifted":
                share = args.image_size / args.resize_size
                return draws.shifted_crop(args.seed, epoch, index, size, share)
            return draws.random_crop(args.seed, epoch, index, size)

        pixels = self.prepared and self.prepared.pixels(index)
        if pixels is None:
            return read_crop(self.index.paths[index], draw, args.image_size)
        width, height = self.prepared.full_size(index)
        box = draw(width, height).scaled(pixels.shape[0] / height, pixels.shape[1] / width)
        return pixels[box.top : box.top + box.height, box.left : box.left + box.width]

    def whole(self, index: int) -> Image.Image:
        """Return an image, that of the prepared copy where there is one."""
        pixels = self.prepared and self.prepared.pixels(index)
        return read_rgb(self.index.paths[index]) if pixels is None else Image.fromarray(pixels)


def add_colour(pixels: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Add `shift` [3], on a scale of 0 to 1, to every pixel of [H, W, 3], to the nearest byte."""
    return opencv().add(pixels, (*(255 * shift.astype(np.float64)).tolist(), 0.0))


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize [H, W, 3] to [size, size, 3], both bytes."""
    shrinks = max(pixels.shape[:2]) >= 2 * size
    cv2 = opencv()
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (size, size), interpolation=kind)
