"""The images of a folder through torchvision's own reference presets, for a test to compare with.

    python -m tests.support.torchvision_reference DATA_PATH IMAGE_SIZE SEED OUT.npz

In the manner of its references/classification/presets.py, with the draws of `common`.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torchvision import transforms
from torchvision.datasets import ImageFolder

from common.data import draws

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZE = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]


class GivenCrop(transforms.RandomResizedCrop):
    """RandomResizedCrop whose box is the one drawn for the image that stands in `place`."""

    place = (0, 0, 0)  # seed, epoch, index

    @staticmethod
    def get_params(img, scale, ratio):
        return draws.random_crop(*GivenCrop.place, img.size, area=scale, aspect=ratio)


def train_images(folder: ImageFolder, size: int, seed: int, epoch: int) -> list[torch.Tensor]:
    images = []
    for index in draws.order(seed, epoch, len(folder)).tolist():
        GivenCrop.place = (seed, epoch, index)
        flip = transforms.RandomHorizontalFlip(p=float(draws.flip(seed, epoch, index)))
        images.append(transforms.Compose([GivenCrop(size), flip, *NORMALIZE])(folder[index][0]))
    return images


def main() -> None:
    data_path, size, seed, out = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    train, val = ImageFolder(str(data_path / "train")), ImageFolder(str(data_path / "val"))
    resize = transforms.Resize(round(size * 256 / 224))
    evaluation = transforms.Compose([resize, transforms.CenterCrop(size), *NORMALIZE])
    epochs = [image for epoch in (0, 1) for image in train_images(train, size, seed, epoch)]
    arrays = {"train_images": torch.stack(epochs).numpy(), "val_labels": np.array(val.targets)}
    arrays["val_images"] = torch.stack([evaluation(image) for image, _ in val]).numpy()
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()
