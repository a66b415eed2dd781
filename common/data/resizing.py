"""Evaluation's geometry in Pillow alone: the pixels of both trees' `presets.eval_preset`."""

from PIL import Image


def shorter_side(image: Image.Image, size: int) -> Image.Image:
    """Resize an image so that its shorter side has `size` pixels, in bilinear interpolation."""
    target = scaled_size(*image.size, size)
    return image if target == image.size else image.resize(target, Image.Resampling.BILINEAR)


def scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the width and height when the shorter of the two is `size`."""
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def centre(image: Image.Image, size: int) -> Image.Image:
    """Cut out the central `size` x `size` pixels of an image that has as many."""
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))
