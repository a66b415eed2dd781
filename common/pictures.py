"""Decoding a picture file."""

from pathlib import Path

from PIL import Image

from common.errors import UserError

# What Pillow's readers raise on damaged files of one format or another.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    Image.DecompressionBombError,
)


def read_rgb(path: str | Path) -> Image.Image:
    """Return the picture at `path` as 8-bit RGB, whatever its mode; EXIF rotation is not applied.

    Both are what torchvision's ImageFolder does, and with it every published ImageNet number.
    Raises UserError, which names the file, where it is damaged or no picture.
    """
    try:
        with open(path, "rb") as file, Image.open(file) as picture:
            return picture.convert("RGB")
    except _DECODING_ERRORS as error:
        reason = "not a picture, or its header is damaged"
        if not isinstance(error, Image.UnidentifiedImageError):
            reason = str(error) or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as a picture ({reason}); replace the file or delete it"
        ) from error
