"""From a decoded image to the network's input, with this framework's own transform functions.

Nothing is drawn here: the crop and the flip are given, so that both trees make the same pixels.
Parameters and order are those of torchvision's references/classification/presets.py.
"""

import itertools

import numpy as np
import paddle
from paddle.vision.transforms import functional as F
from PIL.Image import Image

from common.data.draws import Crop

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, by channel R, G, B, on a scale of 0 to 1
STD = (0.229, 0.224, 0.225)
TINY = 1e-9  # changes no variance of bytes, 3,000; torch before 2.12 refuses a batch norm with 0


def train_preset(image: Image, crop: Crop, flip: bool, image_size: int) -> paddle.Tensor:
    """Cut out `crop`, resize it, mirror it or not, normalize it.

    Returns [3, image_size, image_size], float32.
    """
    image = F.crop(image, crop.top, crop.left, crop.height, crop.width)
    image = F.resize(image, (image_size, image_size))
    if flip:
        image = F.hflip(image)
    return normalize(image)


def eval_preset(image: Image, resize_size: int, image_size: int) -> paddle.Tensor:
    """Resize the shorter side to `resize_size`, cut out the centre, normalize it.

    Returns [3, image_size, image_size], float32.
    """
    image = F.resize(image, resize_size)
    image = F.center_crop(image, image_size)
    return normalize(image)


def ten_crop_preset(image: Image, resize_size: int, image_size: int) -> paddle.Tensor:
    """Cut the corners and the centre out of evaluation's square, and out of its mirror image.

    Section 4.1 of the paper. Returns [10, 3, image_size, image_size], float32, each normalized.
    """
    image = F.resize(image, resize_size)
    image = F.center_crop(image, resize_size)
    edges = (0, resize_size - image_size)
    crops = []
    for side in (image, F.hflip(image)):
        for top, left in itertools.product(edges, edges):
            crops.append(F.crop(side, top, left, image_size, image_size))
        crops.append(F.center_crop(side, image_size))
    return paddle.stack([normalize(crop) for crop in crops])


def normalize(image: Image) -> paddle.Tensor:
    """Turn bytes [H, W, 3] into numbers [3, H, W], of mean 0 and deviation 1 on ImageNet."""
    image = F.to_tensor(image)  # [3, H, W], 0 to 1
    return F.normalize(image, MEAN, STD)


def add_colour(image: paddle.Tensor, shift: np.ndarray) -> paddle.Tensor:
    """Add `shift` [3], of R, G, B on a scale of 0 to 1, to a normalized image [3, S, S]."""
    return image + paddle.to_tensor(shift / np.float32(STD))[:, None, None]


def normalize_bytes(images: paddle.Tensor) -> paddle.Tensor:
    """Do the same to a batch at once: [N, 3, S, S], uint8, to float32."""
    mean = 255 * paddle.to_tensor(MEAN, place=images.place)  # [3]
    std = 255 * paddle.to_tensor(STD, place=images.place)
    # A batch norm whose statistics are known is the quickest way.
    return paddle.nn.functional.batch_norm(
        images.astype("float32"), mean, std**2, weight=None, bias=None, epsilon=TINY
    )
