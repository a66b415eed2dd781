"""What the loaders of a tree give, and the images that they were made of."""

from pathlib import Path

import numpy as np

from tests.support.trees import run_parts

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# The largest value is (1 - 0.406) / 0.225 = 2.64, and float32 numbers up to 4 lie 2.4e-7 apart.
ONE_ROUNDING = 2.5e-7


def read_stream(framework: str, folder: Path, epochs: int, **settings) -> dict[str, np.ndarray]:
    """Return what the loaders of a tree give, by its port: train_images, train_labels, val_sizes...

    Images [N, 3, S, S], labels [N] and the sizes of the batches [B], of all epochs in a row.
    """
    return run_parts(framework, folder, stream={"epochs": epochs, "settings": settings})["stream"]


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Undo the normalization of [N, 3, S, S]; return [N, S, S, 3], uint8."""
    numbers = (images.astype(np.float64).transpose(0, 2, 3, 1) * STD + MEAN) * 255
    assert np.abs(numbers - np.round(numbers)).max() < 1e-3
    return np.round(numbers).astype(np.uint8)
