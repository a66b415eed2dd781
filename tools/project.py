"""This repository as the commands of portproof see it: its two trees, networks and sample."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from PIL import Image

from common import networks
from common.data import synthetic
from common.paths import ROOT
from common.training.recipes import RECIPES
from portproof.cli.project import Project

CLASSES, TRAIN_IMAGES = 5, 4  # of the folder that is drawn; images of each class


def draw_folder(path: Path) -> Path:
    """Write a small image folder, real JPEG files; return it.

    The images of val are an odd number, which two processes cannot share out.
    """
    for split, count in (("train", TRAIN_IMAGES), ("val", 2)):
        for position, name in enumerate(synthetic.CLASSES[:CLASSES]):
            folder = path / split / name
            folder.mkdir(parents=True)
            for number in range(count + (split == "val" and position == 0)):
                image = Image.fromarray(synthetic.draw_image(0, split, name, number))
                image.resize((96, 80)).save(folder / f"{number}.jpg", quality=90)
    return path.resolve()


PORTS = {framework: ROOT / f"AlexNet-{framework}" / "port.py" for framework in ("torch", "paddle")}
PROJECT = Project(
    name="AlexNet",
    root=ROOT,
    ports=PORTS,
    networks=networks.SMALLEST,
    network="alexnet",
    sample=synthetic.ensure,
    draw=draw_folder,
    records=ROOT / ".cache" / "records",
    sample_size=RECIPES["sample"].image_size,
    image_size=RECIPES["imagenet"].image_size,
    batch_size=RECIPES["imagenet"].batch_size,
)


def command(name: str) -> Callable[..., int]:
    """Return main() of a command of portproof, with this repository as its project."""
    return partial(import_module(f"portproof.cli.{name}").main, project=PROJECT)
