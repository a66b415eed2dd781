"""Real files of every mode and shape that an image folder can hold."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from common.data import synthetic
from tests.support.helpers import make_folder

SIZES = {"one-wide.png": (1, 300), "one-high.png": (300, 1), "one-pixel.png": (1, 1)}
SIZES |= {"huge.jpg": (4100, 90), "portrait.jpg": (91, 163), "exact.jpg": (73, 73)}
SIZES |= {"plain.bmp": (90, 70)}
MODES = {"grey.jpg": "L", "black-and-white.png": "1", "grey-alpha.png": "LA", "cmyk.jpg": "CMYK"}
ORIENTATION = 0x0112  # the EXIF tag; 6: turn by 90 degrees to view


def write_odd_images(folder: Path) -> None:
    """Write one file of each kind into `folder`."""
    folder.mkdir(parents=True)
    image = Image.fromarray(synthetic.draw_image(2, "train", "rays", 0))
    transparent = image.convert("RGBA")
    transparent.putalpha(image.convert("L"))
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    deep = np.arange(90 * 70, dtype=np.uint16).reshape(90, 70) * 10
    turned = Image.Exif()
    turned[ORIENTATION] = 6

    for name, size in SIZES.items():
        image.resize(size).save(folder / name)
    for name, mode in MODES.items():
        image.convert(mode).save(folder / name)
    image.resize((37, 29)).save(folder / "small.webp", lossless=True)
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-transparent.png", transparency=b"\x00\x80\xff")
    transparent.save(folder / "rgba.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep).save(folder / "deep.tif")
    image.save(folder / "turned.jpg", exif=turned)
    image.save(folder / "PROGRESSIVE.JPEG", progressive=True)


def make_folder_with_odd(path: Path) -> Path:
    """Write three classes of images, odd ones among them; the last batches are smaller."""
    make_folder(path, train=8, val=4)
    write_odd_images(path / "odd")
    for split in ("train", "val"):
        for name in ("turned.jpg", "grey.jpg", "portrait.jpg", "cmyk.jpg", "rgba.png"):
            shutil.copy(path / "odd" / name, path / split / "cross" / name)
    shutil.rmtree(path / "odd")
    return path
