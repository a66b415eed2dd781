"""What both networks are given: images, or drawn numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from portproof.files.images import ENDINGS, read_rgb
from portproof.system.errors import UserError

IMAGE_SHAPE = [1, 3, 224, 224]  # of an input where none is named
# RGB, for values of 0 to 1: https://pytorch.org/vision/stable/models.html
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Inputs:
    """What both networks are given."""

    shape: list[int] | None  # none: images [N, 3, S, S] of `sizes`
    dtype: str
    batch_size: int
    sizes: tuple[int, ...]  # pixels; 0 is none
    images: Path | None
    seed: int

    def arrays(self) -> dict[str, np.ndarray]:
        """Return one array for each size. Raises UserError where --images holds no image."""
        if self.shape:
            return {"x".join(map(str, self.shape)): self._draw(self.shape)}
        sizes = dict.fromkeys(size for size in self.sizes if size)
        if self.images:
            return {f"{size} pixels": self._read_images(size) for size in sizes}
        return {f"{size} pixels": self._draw([self.batch_size, 3, size, size]) for size in sizes}

    def _draw(self, shape: list[int]) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(self.seed))
        if self.dtype == "int64":
            return generator.integers(0, 10, shape)
        return generator.standard_normal(shape).astype(np.float32)

    def _read_images(self, size: int) -> np.ndarray:
        """Return the first images of the folder, cut square: [N, 3, S, S], float32, normalized."""
        if not self.images.is_dir():
            raise UserError(f"--images {self.images}: there is no such folder")
        files = (path for path in self.images.rglob("*") if path.suffix.lower() in ENDINGS)
        paths = sorted(files)[: self.batch_size]
        if not paths:
            raise UserError(f"--images {self.images}: holds no image ({' '.join(ENDINGS)})")
        shape, bilinear = (size, size), Image.Resampling.BILINEAR
        images = [np.asarray(ImageOps.fit(read_rgb(path), shape, bilinear)) for path in paths]
        pixels = np.stack(images).astype(np.float32) / 255  # [N, S, S, 3]
        normalized = (pixels - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
        return normalized.transpose(0, 3, 1, 2).copy()
