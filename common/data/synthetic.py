"""The embedded sample: ten classes of images, drawn from a seed, to train on with no download.

    python -m common.data.synthetic [--seed N] [--output DIR]
    python -m common.data.synthetic --contact-sheet FILE.png

Each image is one shape or one texture, light on a dark and cloudy ground, its colours, place,
size, rotation and noise drawn anew. The pixels are the same on every machine: only whole numbers
and the operations that IEEE 754 rounds exactly (+ - * / sqrt) are used, no sine or exponential.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tqdm import tqdm

from common.data import draws
from common.paths import ROOT, SAMPLE_DIR
from portproof.system import atomic_folders, errors
from portproof.system.atomic import replace_atomically
from portproof.system.errors import UserError, explained

VERSION = 2  # of the drawing; a new one is drawn anew in place of the old
TRAIN_PER_CLASS = 200
VAL_PER_CLASS = 40
SIZES = ((400, 300), (384, 288), (400, 267), (360, 270), (320, 320))  # long side, short side
JPEG_QUALITY = 90
BAND = 24  # rows drawn at a time

# A shape maps coordinates to a signed distance: below 0 inside, 1 = the shape's radius.
Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 1.0, y - 0.25), np.maximum(y - 1.0, x - 0.25))


def _wave(x: np.ndarray) -> np.ndarray:
    """A triangle wave of period 1 between -0.5 and 0.5, in place of a sine."""
    return 2.0 * np.abs(x - np.floor(x) - 0.5) - 0.5


def _checks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    across, down = 0.4 * _wave(1.2 * x), 0.4 * _wave(1.2 * y)
    return np.maximum(np.minimum(across, down), np.minimum(-across, -down))


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    across, down = _wave(1.3 * x) + 0.5, _wave(1.3 * y) + 0.5  # 0 at a dot's centre
    return (np.sqrt(across * across + down * down) - 0.55) / 2.6


def _rays(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Six lines through the centre, 30 degrees apart: their signs multiplied change at each line.
    half, root = 0.5, 0.8660254037844386
    lines = ((0, 1), (half, root), (root, half), (1, 0), (root, -half), (half, -root))
    sign, nearest = np.ones_like(x), np.full_like(x, np.inf)
    for across, down in lines:
        line = across * x + down * y
        sign = sign * np.where(line < 0, -1.0, 1.0)
        nearest = np.minimum(nearest, np.abs(line))
    return sign * nearest


SHAPES: dict[str, Shape] = {
    "bars": lambda x, y: 0.25 * _wave(2.0 * x),
    "checks": _checks,
    "cross": _cross,
    "disc": lambda x, y: np.sqrt(x * x + y * y) - 0.9,
    "dots": _dots,
    "grid": lambda x, y: np.minimum(_wave(1.6 * x) + 0.3, _wave(1.6 * y) + 0.3) / 3.2,
    "rays": _rays,
    "rings": lambda x, y: (_wave(1.6 * np.sqrt(x * x + y * y)) + 0.2) / 3.2,
    "slants": lambda x, y: 0.25 * _wave(1.4142135623730951 * (x + y)),
    "stripes": lambda x, y: 0.25 * (_wave(2.0 * y) - 0.15),
}
CLASSES = sorted(SHAPES)


def _stretch(grid: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Read a small grid [h, w] bilinearly at places `down` [H], `right` [W] of [0, 1) -> [H, W]."""
    rows, columns = down * (grid.shape[0] - 1), right * (grid.shape[1] - 1)
    top, left = rows.astype(int), columns.astype(int)
    lines = grid[top] + (grid[top + 1] - grid[top]) * (rows - top)[:, None]  # [H, w]
    return lines[:, left] + (lines[:, left + 1] - lines[:, left]) * (columns - left)


def draw_image(seed: int, split: str, name: str, number: int) -> np.ndarray:
    """Draw image `number` of class `name`: [height, width, 3], uint8, RGB."""
    serial = ((split == "val") * len(CLASSES) + CLASSES.index(name)) * 1_000_000 + number
    u = draws.uniform(seed, draws.Purpose.SAMPLE, 0, serial, 128)
    long_side, short_side = SIZES[int(u[0] * len(SIZES))]
    width, height = (long_side, short_side) if u[1] < 0.7 else (short_side, long_side)

    ground, figure = 10 + 100 * u[2:5], 170 + 80 * u[5:8]  # a light figure on a dark ground
    clouds = 40 * u[8:33].reshape(5, 5) - 20  # the ground, brighter and darker
    shade = 50 * u[37:41].reshape(2, 2) - 25  # light falling off across the figure
    grain = 0.02 + 0.06 * u[41]

    # Coordinates in units of the figure's radius, turned by an angle whose half has tangent t.
    radius = short_side * (0.34 + 0.16 * u[33])
    reach = max(0.5 * short_side - 0.85 * radius, 0.0)
    centre_x = 0.5 * width + (2 * u[34] - 1) * reach
    centre_y = 0.5 * height + (2 * u[35] - 1) * reach
    t = 0.2 * u[36] - 0.1  # up to 11 degrees either way
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)

    # Noise is a sum of four random bytes, near enough to a bell: [height, width], -510 to 510.
    words = draws.words(seed, draws.Purpose.SAMPLE, 1, serial, height * width // 2)
    random = words.astype("<u8").view(np.uint8).reshape(4, height, width)
    noise = random.sum(0, dtype=np.int16) - 510

    columns = np.arange(width)
    image = np.empty((height, width, 3), np.uint8)
    for start in range(0, height, BAND):  # a few rows at a time stay in the processor's cache
        rows = np.arange(start, min(start + BAND, height))
        x = (columns[None, :] - centre_x) / radius
        y = (rows[:, None] - centre_y) / radius
        distance = SHAPES[name](cosine * x + sine * y, cosine * y - sine * x)
        cover = np.clip(0.5 - distance * radius, 0.0, 1.0)  # soft over one pixel
        cloudy = _stretch(clouds, rows / height, columns / width)
        shaded = _stretch(shade, rows / height, columns / width)
        common = cloudy + (shaded - cloudy) * cover + noise[rows] * grain + 0.5
        for channel in range(3):
            level = (figure[channel] - ground[channel]) * cover + (common + ground[channel])
            image[rows, :, channel] = np.clip(np.floor(level), 0, 255)
    return image


def _write_image(task: tuple[Path, int, str, str, int]) -> None:
    path, *key = task
    image = Image.fromarray(draw_image(*key))
    image.save(path, quality=JPEG_QUALITY, subsampling=0)


def _description(seed: int) -> dict:
    return {"version": VERSION, "seed": seed, "train": TRAIN_PER_CLASS, "val": VAL_PER_CLASS}


def is_complete(folder: Path, seed: int = 0) -> bool:
    """Say whether `folder` holds the whole sample of this seed and this version of the drawing."""
    return atomic_folders.is_complete(folder, "sample", _description(seed))


def write(folder: Path, seed: int = 0) -> None:
    """Draw the sample into `folder`, atomically, if it is not there. Raises UserError."""
    advice = (
        "free some disk space (300 MB) or allow writing there, or name your own images with "
        "--data-path"
    )
    with explained(f"the sample cannot be written to {folder}", advice, OSError):
        draw = partial(_draw_all, seed=seed)
        atomic_folders.make(folder, "sample", _description(seed), draw)


def _draw_all(folder: Path, seed: int) -> None:
    tasks = []
    for split, count in (("train", TRAIN_PER_CLASS), ("val", VAL_PER_CLASS)):
        for name in CLASSES:
            parent = folder / split / name
            parent.mkdir(parents=True)
            tasks += [(parent / f"{n:04d}.jpg", seed, split, name, n) for n in range(count)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(_write_image, tasks, chunksize=20)
        for _ in tqdm(done, "drawing the sample", len(tasks), disable=None, unit="image"):
            pass


def ensure() -> Path:
    """Return the folder of the default sample; drawn first if it is missing."""
    if not is_complete(SAMPLE_DIR):
        print(f"drawing the sample images into {SAMPLE_DIR} (once)", flush=True)
        # Else its worker processes would each be forked from one that has a framework loaded.
        command = [sys.executable, "-m", "common.data.synthetic", "--output", str(SAMPLE_DIR)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise UserError("the sample was not drawn (reason above)")
    return SAMPLE_DIR


def write_contact_sheet(path: Path, seed: int) -> None:
    """Write an image that shows four train images of each class, one class a column."""
    rows, cell = 4, 128  # cell: pixels
    sheet = Image.new("RGB", (len(CLASSES) * cell, rows * cell + 24), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(CLASSES):
        pen.text((column * cell + cell // 2, 4), name, "black", ImageFont.load_default(16), "ma")
        for row in range(rows):
            image = Image.fromarray(draw_image(seed, "train", name, row))
            image = ImageOps.pad(image, (cell - 6, cell - 6), color="white")
            sheet.paste(image, (column * cell + 3, row * cell + 27))
    with replace_atomically(path) as file:
        sheet.save(file, "PNG")


def main(argv: Sequence[str] | None = None) -> None:
    from portproof.system.command_line import Parser

    parser = Parser(prog="common.data.synthetic", description="Draw the embedded sample.")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other images")
    parser.add_argument("--output", type=Path, default=SAMPLE_DIR, help="the folder to make")
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE", help="only make this PNG")
    args = parser.parse_args(argv)
    if args.contact_sheet:
        write_contact_sheet(args.contact_sheet, args.seed)
    else:
        write(args.output, args.seed)


if __name__ == "__main__":
    errors.run(main)
