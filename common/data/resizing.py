"""Evaluation's geometry in Pillow alone, for what is not in a framework's process.

The pixels are those of both trees' `presets.eval_preset`; a test holds them to it.
"""

from PIL import Image


def shorter_side(picture: Image.Image, size: int) -> Image.Image:
    """Resize a picture so that its shorter side has `size` pixels, in bilinear interpolation."""
    target = scaled_size(*picture.size, size)
    return picture if target == picture.size else picture.resize(target, Image.Resampling.BILINEAR)


def scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the width and height when the shorter of the two is `size`."""
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def centre(picture: Image.Image, size: int) -> Image.Image:
    """Cut out the central `size` x `size` pixels of a picture that has as many."""
    left, top = round((picture.width - size) / 2), round((picture.height - size) / 2)
    return picture.crop((left, top, left + size, top + size))
