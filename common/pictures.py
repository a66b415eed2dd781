"""Decoding a picture file."""

from pathlib import Path

from PIL import Image

from common.errors import UserError, show

# What a picture may be, whatever its ending says. Pillow knows more kinds; one of them, PostScript,
# it gives to another program to run.
KINDS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")


def read_rgb(path: str | Path) -> Image.Image:
    """Return the picture at `path` as 8-bit RGB, whatever its mode; EXIF rotation is not applied.

    Both are what torchvision's ImageFolder does, and with it every published ImageNet number.
    Raises UserError, which names the file, where it is damaged, gone, or no picture.
    """
    try:
        return _decode(path)
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        raise UserError(
            f"{show(path)}: cannot be read as a picture ({_reason(error)}); replace the file or "
            "delete it"
        ) from error


def find_fault(path: str | Path) -> str | None:
    """Return why `read_rgb` would refuse a picture, None where it would not."""
    try:
        _decode(path)
    except Exception as error:
        return _reason(error)
    return None


def _decode(path: str | Path) -> Image.Image:
    with open(path, "rb") as file, Image.open(file, formats=KINDS) as picture:
        return picture.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture, or its header is damaged"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason.splitlines()[0]
