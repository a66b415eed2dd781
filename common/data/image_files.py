"""Decoding the part of an image file that is of use, and what is wrong with one."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.data.draws import Crop
from portproof.files.images import KINDS, check_shape, read_rgb, readable
from portproof.system.errors import UserError, reason

SEQUENTIAL = (0xC0, 0xC1)  # markers of a JPEG file: its header, where it is not progressive
SCAN = 0xDA  # what comes after all headers


def find_fault(path: str | Path) -> str | None:
    """Return why `read_rgb` would refuse an image, None where it would not."""
    try:
        read_rgb(path)
    except UserError as error:
        return reason(error.__cause__)[0]
    return None


def read_crop(path: str | Path, draw: Callable[[int, int], Crop], smallest: int) -> np.ndarray:
    """Return the part of an image that `draw` chooses by its width and height: [H, W, 3], bytes.

    Of a JPEG file no rows below the part are decoded. Where the part has at least twice (4, 8
    times) the `smallest` useful height and width, it comes at half (a quarter, an eighth) of its
    size; else the pixels are those of `read_rgb`. Raises UserError as `read_rgb` does.
    """
    with readable(path):
        jpeg = Path(path).read_bytes()
        frame, crop = _find_frame(jpeg), None
        if frame:
            crop = draw(frame.width, frame.height)
            jpeg = _without_rows_below(jpeg, frame, crop.top + crop.height)
        with Image.open(io.BytesIO(jpeg), formats=KINDS) as image:
            check_shape(image)
            crop = crop or draw(*image.size)
            fits = min(crop.height, crop.width) // smallest if image.format == "JPEG" else 1
            factor = max(factor for factor in (1, 2, 4, 8) if factor <= max(fits, 1))
            if factor > 1:
                image.draft("RGB", (image.width // factor, image.height // factor))
            top, left, height, width = crop.scaled(1 / factor, 1 / factor)
            rgb = image if image.mode == "RGB" else image.convert("RGB")
            return np.asarray(rgb.crop((left, top, left + width, top + height)))


class Frame(NamedTuple):
    """What the header of a JPEG file says, and where in the file."""

    offset: int  # of the two bytes with the height
    height: int
    width: int
    unit: int  # rows that are coded together


def _find_frame(jpeg: bytes) -> Frame | None:
    """Return the header of a JPEG file; None where it is progressive, an odd one, or no JPEG."""
    start = 2 if jpeg.startswith(b"\xff\xd8\xff") else len(jpeg)
    while start + 10 < len(jpeg) and jpeg[start] == 0xFF:
        marker, length = jpeg[start + 1], int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if marker in SEQUENTIAL:
            height, width, count = struct.unpack_from(">HHB", jpeg, start + 5)
            factors = jpeg[start + 11 : start + 11 + 3 * count : 3]
            unit = 8 * max((factor & 15 for factor in factors), default=0)
            whole = height and width and unit
            return Frame(start + 5, height, width, unit) if whole else None
        if marker == SCAN:
            break
        start += 2 + length
    return None


def _without_rows_below(jpeg: bytes, frame: Frame, rows: int) -> bytes:
    """Return a JPEG file whose header promises `rows` rows and two more, which colours need."""
    kept = -(-(rows + 2) // frame.unit) * frame.unit
    if kept >= frame.height:
        return jpeg
    return jpeg[: frame.offset] + kept.to_bytes(2, "big") + jpeg[frame.offset + 2 :]
