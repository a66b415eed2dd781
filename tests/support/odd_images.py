"""Real files of every mode and shape that a picture folder can hold."""

from pathlib import Path

import numpy as np
from PIL import Image

from common.data import synthetic

ORIENTATION = 0x0112  # the EXIF tag; 6: turn by 90 degrees to view


def write_odd_pictures(folder: Path) -> None:
    """Write one file of each kind into `folder`."""
    folder.mkdir(parents=True)
    picture = Image.fromarray(synthetic.draw_picture(2, "train", "rays", 0))
    transparent = picture.convert("RGBA")
    transparent.putalpha(picture.convert("L"))
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    deep = np.arange(90 * 70, dtype=np.uint16).reshape(90, 70) * 10
    turned = Image.Exif()
    turned[ORIENTATION] = 6

    picture.resize((1, 300)).save(folder / "one-wide.png")
    picture.resize((300, 1)).save(folder / "one-high.png")
    picture.resize((1, 1)).save(folder / "one-pixel.png")
    picture.resize((4100, 90)).save(folder / "huge.jpg")
    picture.resize((91, 163)).save(folder / "portrait.jpg")
    picture.resize((73, 73)).save(folder / "exact.jpg")
    picture.resize((37, 29)).save(folder / "small.webp", lossless=True)
    picture.resize((90, 70)).save(folder / "plain.bmp")
    picture.convert("L").save(folder / "grey.jpg")
    picture.convert("1").save(folder / "black-and-white.png")
    picture.convert("LA").save(folder / "grey-alpha.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-transparent.png", transparency=b"\x00\x80\xff")
    transparent.save(folder / "rgba.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep).save(folder / "deep.tif")
    picture.save(folder / "turned.jpg", exif=turned)
    picture.save(folder / "PROGRESSIVE.JPEG", progressive=True)
