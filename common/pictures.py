"""Decoding a picture file."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from common.draws import Crop
from common.errors import UserError, show

# What a picture may be, whatever its ending says. Pillow knows more kinds; one of them, PostScript,
# it gives to another program to run.
KINDS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
SEQUENTIAL = (0xC0, 0xC1)  # markers of a JPEG file: its header, where it is not progressive
SCAN = 0xDA  # what comes after all headers


def read_rgb(path: str | Path) -> Image.Image:
    """Return the picture at `path` as 8-bit RGB, whatever its mode; EXIF rotation is not applied.

    Both are what torchvision's ImageFolder does, and with it every published ImageNet number.
    Raises UserError, which names the file, where it is damaged, gone, or no picture.
    """
    try:
        return _decode(path)
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        raise _unreadable(path, error) from error


def read_crop(path: str | Path, draw: Callable[[int, int], Crop], smallest: int) -> np.ndarray:
    """Return the part of a picture that `draw` chooses by its width and height: [H, W, 3], bytes.

    Of a JPEG file no more is decoded than that needs: no rows below it, and where the part has at
    least twice (4, 8 times) the `smallest` height and width that are of use, at half (a quarter, an
    eighth) of its size. At its full size, the pixels are those of `read_rgb`.

    Raises UserError as `read_rgb` does, but not for damage below the part.
    """
    try:
        return _decode_crop(path, draw, smallest)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> UserError:
    return UserError(
        f"{show(path)}: cannot be read as a picture ({_reason(error)}); replace the file or "
        "delete it"
    )


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


def _decode_crop(path: str | Path, draw: Callable[[int, int], Crop], smallest: int) -> np.ndarray:
    data = Path(path).read_bytes()
    with Image.open(io.BytesIO(data), formats=KINDS) as picture:
        crop = draw(*picture.size)
        if picture.format != "JPEG":
            return _cut_out(picture, crop, 1)
    data = _without_rows_below(data, crop.top + crop.height)
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        fits = min(crop.height, crop.width) // smallest
        factor = max(factor for factor in (1, 2, 4, 8) if factor <= max(fits, 1))
        if factor > 1:
            picture.draft("RGB", (picture.width // factor, picture.height // factor))
        return _cut_out(picture, crop, factor)


def _cut_out(picture: Image.Image, crop: Crop, factor: int) -> np.ndarray:
    """Return a part as bytes, [H, W, 3], of a picture that was made smaller by `factor`."""
    top, left, height, width = (round(side / factor) for side in crop)
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    return np.asarray(picture.crop((left, top, left + width, top + height)))


def _without_rows_below(data: bytes, rows: int) -> bytes:
    """Return a JPEG file whose header promises `rows` rows and few more: a decoder then stops.

    Where the file is a progressive one, or an odd one, it is returned as it is.
    """
    place = 2
    while place + 10 < len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in SEQUENTIAL:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            factors = data[place + 11 : place + 11 + 3 * data[place + 9] : 3]
            unit = 8 * max((factor & 15 for factor in factors), default=1)  # rows coded together
            # Colours at half the size are interpolated: two rows more have a part in the last one.
            kept = -(-(rows + 2) // unit) * unit if unit else height
            if kept >= height:
                return data
            return data[: place + 5] + kept.to_bytes(2, "big") + data[place + 7 :]
        if marker == SCAN:
            break
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture, or its header is damaged"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason.splitlines()[0]
