"""From a decoded picture to the network's input, with this framework's own transform functions.

Nothing is drawn here: the crop and the flip are given, so that both trees make the same pixels.
Parameters and order are those of torchvision's references/classification/presets.py.
"""

import torch
from PIL.Image import Image
from torchvision.transforms import functional as F

from common.draws import Crop

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, by channel R, G, B, on a scale of 0 to 1
STD = (0.229, 0.224, 0.225)


def train_preset(picture: Image, crop: Crop, flip: bool, image_size: int) -> torch.Tensor:
    """Cut out `crop`, resize it, mirror it or not, normalize it.

    Returns [3, image_size, image_size], float32.
    """
    picture = F.crop(picture, crop.top, crop.left, crop.height, crop.width)
    picture = F.resize(picture, (image_size, image_size))
    if flip:
        picture = F.hflip(picture)
    return normalize(picture)


def eval_preset(picture: Image, resize_size: int, image_size: int) -> torch.Tensor:
    """Resize the shorter side to `resize_size`, cut out the centre, normalize it.

    Returns [3, image_size, image_size], float32.
    """
    picture = F.resize(picture, resize_size)
    picture = F.center_crop(picture, image_size)
    return normalize(picture)


def normalize(picture: Image) -> torch.Tensor:
    """Turn bytes [H, W, 3] into numbers [3, H, W], of mean 0 and deviation 1 on ImageNet."""
    image = F.to_tensor(picture)  # [3, H, W], 0 to 1
    return F.normalize(image, MEAN, STD)


def normalize_bytes(images: torch.Tensor) -> torch.Tensor:
    """Do the same to a batch at once: [N, S, S, 3], uint8, to [N, 3, S, S], float32.

    The batch keeps its layout: in memory the channels stay last.
    """
    rows = images.flatten(2).float()  # [N, S, S * 3]: long rows are quick, pixels are not
    count = images.shape[2]
    mean = torch.tensor(MEAN * count, device=images.device)  # [S * 3]
    std = torch.tensor(STD * count, device=images.device)
    rows.sub_(255 * mean).mul_(1 / (255 * std))
    return rows.view(images.shape).permute(0, 3, 1, 2)
