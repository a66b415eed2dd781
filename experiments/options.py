"""Options that several experiments have."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.data import public_data
from portproof.system.command_line import LARGEST_SEED, whole
from portproof.system.frameworks import FRAMEWORKS


def add_images(parser: argparse._ActionsContainer, *more: str) -> None:
    """Add --data-path and --dataset, of which one may be given; `more` are names of data sets."""
    images = parser.add_mutually_exclusive_group()
    text = "images, DIR/train and DIR/val"
    images.add_argument("--data-path", type=folder, metavar="DIR", help=text)
    text = "a public data set, fetched where it is missing"
    images.add_argument("--dataset", choices=[*sorted(public_data.SIZES), *more], help=text)


def folder(text: str) -> Path:
    """An argparse type: a folder that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no such folder")
    return Path(text)


def add_trainings(parser: argparse._ActionsContainer) -> None:
    """Add --frameworks and --seeds."""
    add_names(parser, "--frameworks", FRAMEWORKS, "both")
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=whole(0, LARGEST_SEED),
        default=[0, 1, 2],
        metavar="N",
        help="a training of each kind with each of them (0 1 2)",
    )


def add_names(
    parser: argparse._ActionsContainer, option: str, names: Sequence[str], every: str = "all"
) -> None:
    """Add an option that takes some of these names, or `every` one."""
    parser.add_argument(
        option,
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"of {', '.join(names)} ({every})",
    )
