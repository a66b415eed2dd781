"""What must be known of a model besides its weights: which images it takes, what it answers."""

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import networks
from common.networks import LARGEST_IMAGE, SMALLEST_IMAGE
from common.training.args import resize_size
from portproof.system.errors import UserError, explained

if TYPE_CHECKING:
    from common.inference.exports import Exported

USUAL_SIZE = 224  # pixels, where nothing tells another: that of the published weights


@dataclass(frozen=True)
class ModelMetadata:
    """`image_size` in pixels; mean and deviation by channel R, G, B, of pixels from 0 to 1.

    `classes` are in the order of the logits; None where their names are not known.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: list[str] | None = None

    def to_json(self) -> str:
        """Return the facts as JSON; `resize_size` too, for programs that know only the file."""
        return json.dumps(dataclasses.asdict(self) | {"resize_size": resize_size(self.image_size)})

    def name(self, index: int) -> str:
        """Return the name of a class, or "class 3" where it is not known."""
        return self.classes[index] if self.classes else f"class {index}"

    def loader_settings(self, batch_size: int, workers: int) -> argparse.Namespace:
        """Return what the evaluation loader of either tree asks its arguments for."""
        return argparse.Namespace(
            image_size=self.image_size,
            resize_size=resize_size(self.image_size),
            batch_size=batch_size,
            workers=workers,
            seed=0,  # nothing is drawn
            fast=False,
            cache=None,
            channels_last=False,
            eval_crops=1,
        )


def from_json(text: str | bytes, where: Path) -> ModelMetadata:
    """Return what `to_json` wrote. Raises UserError, which names `where`, on anything else."""
    with explained(f"{where}: what it says of its classes and images is damaged", "export anew"):
        stored = json.loads(text)
        classes, mean, std = stored["classes"], tuple(stored["mean"]), tuple(stored["std"])
        facts = ModelMetadata(int(stored["image_size"]), mean, std, classes)
        if classes is not None and not all(isinstance(name, str) for name in classes):
            raise ValueError("a class without a name")
        if not SMALLEST_IMAGE <= facts.image_size <= LARGEST_IMAGE:
            raise ValueError(f"images of {facts.image_size} pixels")
    return facts


def read_classes(path: Path) -> list[str]:
    """Return the names in a text file, one a line. Raises UserError where it cannot be read."""
    what, advice = f"--classes {path}: cannot be read", "give UTF-8 text, one name a line"
    with explained(what, advice, (OSError, UnicodeDecodeError)):
        text = path.read_text(encoding="utf-8-sig")
    names = [name.strip() for name in text.rstrip().splitlines()]
    if "" in names:
        raise UserError(f"--classes {path}: line {names.index('') + 1} is empty; one name a line")
    return names


def of_weights(
    weights: Path,
    classes: list[str] | None,
    args: argparse.Namespace,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    model: str = "alexnet",
) -> ModelMetadata:
    """Return the facts of a weights file: --classes and --image-size, else what the run says.

    `classes` are those of the file. A size that nothing tells is that of the `model`'s published
    training, and a note says so. Raises UserError where it is too small.
    """
    size = args.image_size or run_image_size(weights)
    if size is None:
        size = networks.USUAL[model]
        note = f"{weights} does not tell its image size: {size} pixels are taken (--image-size)"
        print(f"note: {note}", file=sys.stderr)
    if size < networks.SMALLEST[model]:
        raise UserError(
            f"--image-size {size}: {weights} holds {model}, which takes images of "
            f"{networks.SMALLEST[model]} pixels or more"
        )
    return ModelMetadata(size, mean, std, read_classes(args.classes) if args.classes else classes)


def of_export(
    exported: "Exported", args: argparse.Namespace, mean: tuple[float, ...], std: tuple[float, ...]
) -> ModelMetadata:
    """Return the facts of an exported model: its own, if it has any, else as `of_weights`.

    Raises UserError where --image-size is another, or where it was made for another normalization.
    """
    facts = exported.facts or ModelMetadata(args.image_size or USUAL_SIZE, mean, std)
    size = exported.input_size or facts.image_size
    if args.image_size not in (None, size):
        raise UserError(
            f"--image-size {args.image_size}: {args.weights} takes images of {size} pixels; leave "
            "--image-size out, or export the weights anew with it"
        )
    if (facts.mean, facts.std) != (mean, std):
        raise UserError(
            f"{args.weights}: made for images with mean {list(facts.mean)} and deviation "
            f"{list(facts.std)}, where presets.py has {list(mean)} and {list(std)}; export anew"
        )
    classes = read_classes(args.classes) if args.classes else facts.classes
    return ModelMetadata(size, mean, std, classes)


def run_image_size(weights: Path) -> int | None:
    """Return the image size in the args.json beside a checkpoint, None where there is none."""
    try:
        arguments = json.loads((weights.parent / "args.json").read_bytes())["arguments"]
        size = arguments["image_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if isinstance(size, int) and SMALLEST_IMAGE <= size <= LARGEST_IMAGE else None


def check_count(facts: ModelMetadata, shape: tuple[int, ...], where: Path) -> None:
    """Raise UserError where logits of this shape are not [N, one for each of the classes]."""
    if len(shape) != 2:
        raise UserError(f"{where}: gives {list(shape)} in place of [images, classes]")
    if facts.classes is not None and len(facts.classes) != shape[1]:
        raise UserError(
            f"{where}: tells {shape[1]} classes apart, and there are {len(facts.classes)} names; "
            "give the right names by --classes, one a line"
        )
