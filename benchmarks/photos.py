"""Make JPEG files that cost as much to read as ImageNet's, for benchmarks without ImageNet.

    python -m benchmarks.photos DIR --count 2560 --classes 100

Writes DIR/train/<class>/*.jpg and a tenth as many to DIR/val: 488 x 394 pixels and about 100 kB on
average, as ImageNet's are. Smooth drawings would decode faster. So each image is cut out of a scene
with the statistics of a photograph: things of all sizes that hide one another (the "dead leaves" of
Lee, Mumford and Huang, 2001), with a texture of spectrum 1/f, that differ mostly in brightness. The
same seed gives the same files (with the same NumPy and Pillow).
"""

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from portproof.cli.options import add_number, add_seed
from portproof.system import atomic_folders, errors
from portproof.system.command_line import Parser
from portproof.system.processor import available_cores

LONG, SHORT = 505, 377  # pixels; with some that stand upright, 488 x 394 on average
PORTRAITS = 0.13  # share of images that stand upright
SPREAD = 0.15  # of the sizes, either way
JPEG_QUALITY = 92
SMALL = 16  # pixels, width and height of an image that is only listed
SCENES = 16
SCENE = 1024  # pixels, width and height
LEAVES = 2500  # things in a scene
GRAIN = np.float32(3)  # deviation, of 255 levels
CONTRAST = (0.55, 1.6)  # of an image, from dull to sharp: what its bytes depend on
VERSION = 1  # of the drawing; a new one is drawn anew in place of the old


def write(folder: Path, count: int, classes: int, seed: int = 0) -> Path:
    """Make `folder` with `count` images to train on, unless it is complete; return it.

    Raises UserError where it holds something else, or there are too few images for the classes.
    """
    if count < classes:
        raise errors.UserError(f"{count} images are too few for {classes} classes")
    description = {"version": VERSION, "count": count, "classes": classes, "seed": seed}

    def fill(partial: Path) -> None:
        paths = lay_out(partial, count, classes)
        with ProcessPoolExecutor(min(available_cores(), SCENES)) as pool:
            numbers = range(min(SCENES, len(paths)))
            list(pool.map(_write_scene, numbers, [paths] * SCENES, [seed] * SCENES))

    atomic_folders.make(folder, "photos", description, fill)
    return folder


def lay_out(folder: Path, count: int, classes: int) -> list[Path]:
    """Make the folders; return where `count` images of train go, and a tenth of val or more."""
    paths = []
    for split, total in (("train", count), ("val", max(count // 10, classes))):
        folders = [folder / split / f"class-{label:04d}" for label in range(classes)]
        for path in folders:
            path.mkdir(parents=True)
        paths += [folders[n % classes] / f"{n // classes:06d}.jpg" for n in range(total)]
    return paths


def _write_scene(scene: int, paths: list[Path], seed: int) -> None:
    """Draw one scene and write every image that is cut out of it."""
    drawn = draw_scene(seed, scene)
    for number in range(scene, len(paths), SCENES):
        paths[number].write_bytes(encode(cut_out(drawn, seed, number)))


def draw_scene(seed: int, scene: int) -> np.ndarray:
    """Draw things that hide one another: [SCENE, SCENE, 3], float32, about 0."""
    generator = np.random.default_rng([seed, 1, scene])
    leaf = _draw_leaves(generator)  # [SCENE, SCENE], the number of the thing seen there
    level = generator.normal(0, 45, LEAVES + 1)
    tint = generator.normal(0, 14, (LEAVES + 1, 3))  # colours differ less than brightness does
    colour = (level[:, None] + tint).astype(np.float32)
    roughness = generator.uniform(0.15, 1.0, LEAVES + 1).astype(np.float32)
    grey, *rgb = (_draw_texture(generator) for _ in range(4))
    texture = grey + 0.25 * np.concatenate(rgb, axis=-1)
    return colour[leaf] + roughness[leaf][..., None] * texture


def _draw_leaves(generator: np.random.Generator) -> np.ndarray:
    """Lay LEAVES ellipses and boxes over one another: their numbers, [SCENE, SCENE], int."""
    sheet = Image.new("I", (SCENE, SCENE), 0)
    pen = ImageDraw.Draw(sheet)
    for number in range(1, LEAVES + 1):
        # Sizes by a power law: as many small things as a photograph has at any distance.
        radius = 6 / (generator.uniform(0.0004, 1.0) ** 0.5)
        x, y = generator.uniform(0, SCENE, 2)
        turn, flat = generator.uniform(0, np.pi), generator.uniform(0.3, 1.0)
        corners = 24 if generator.random() < 0.6 else 4
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        along, across = radius * np.cos(angle), radius * flat * np.sin(angle)
        right = x + along * np.cos(turn) - across * np.sin(turn)
        down = y + along * np.sin(turn) + across * np.cos(turn)
        pen.polygon(list(zip(right, down, strict=True)), fill=number)
    return np.asarray(sheet)


def _draw_texture(generator: np.random.Generator) -> np.ndarray:
    """Return noise with a spectrum of 1/f: [SCENE, SCENE, 1], float32, deviation 30."""
    across, down = np.fft.rfftfreq(SCENE)[None, :], np.fft.fftfreq(SCENE)[:, None]
    frequency = np.sqrt(across**2 + down**2)
    frequency[0, 0] = np.inf  # no mean
    white = np.fft.rfft2(generator.standard_normal((SCENE, SCENE), np.float32))
    noise = np.fft.irfft2(white / np.maximum(frequency, 8 / SCENE), s=(SCENE, SCENE))
    return (30 * noise / noise.std()).astype(np.float32)[..., None]


def cut_out(scene: np.ndarray, seed: int, number: int) -> np.ndarray:
    """Cut image `number` out of a scene: [H, W, 3], uint8; place, size and light are its own."""
    generator = np.random.default_rng([seed, 2, number])
    scale = generator.uniform(1 - SPREAD, 1 + SPREAD, 2)
    width, height = round(LONG * scale[0]), round(SHORT * scale[1])
    if generator.random() < PORTRAITS:
        width, height = height, width
    top, left = (int(generator.integers(SCENE - side + 1)) for side in (height, width))
    part = scene[top : top + height, left : left + width]
    if generator.random() < 0.5:
        part = part[:, ::-1]
    contrast = generator.uniform(*CONTRAST)
    light = 118 + generator.normal(0, 18) + generator.normal(0, 6, 3)
    grain = GRAIN * generator.standard_normal((height, width, 1), np.float32)
    lit = part * np.float32(contrast) + light.astype(np.float32) + grain
    return np.clip(lit, 0, 255).astype(np.uint8)


def encode(image: np.ndarray) -> bytes:
    """Return an image [H, W, 3], uint8, as JPEG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def write_small(folder: Path, count: int, classes: int) -> Path:
    """Make a folder with `count` tiny files (no links) to train on, for what only lists them."""
    noise = np.random.default_rng(0).integers(0, 256, (SMALL, SMALL, 3), dtype=np.uint8)
    contents = encode(noise)

    def fill(partial: Path) -> None:
        for path in lay_out(partial, count, classes):
            path.write_bytes(contents)

    description = {"version": VERSION, "count": count, "classes": classes, "size": SMALL}
    atomic_folders.make(folder, "small-pictures", description, fill)
    return folder


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="benchmarks.photos", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to make")
    add_number(parser, "--count", "of train", 2560)
    add_number(parser, "--classes", "folders", 100)
    add_seed(parser, "other images")
    args = parser.parse_args(argv)
    write(args.folder, args.count, args.classes, args.seed)
    sizes = [path.stat().st_size for path in args.folder.glob("*/*/*.jpg")]
    print(f"{len(sizes)} images of {np.mean(sizes) / 1e3:.0f} kB on average in {args.folder}")


if __name__ == "__main__":
    errors.run(main)
