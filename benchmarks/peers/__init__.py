"""What a user would train with instead: small scripts in the manner of others' own."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from benchmarks.window import Window, add_arguments, leave
from portproof.system.command_line import Parser, whole

Load = Callable[[argparse.Namespace], tuple[Iterable, int]]  # the loader, and how many classes
Train = Callable[[Iterable, int, Window], None]  # on batches of so many classes


def main(name: str, description: str | None, load: Load, train: Train) -> NoReturn:
    """Have a peer train the window that its command line asks for, and print its figures."""
    parser = Parser(prog=f"benchmarks.peers.{name}", description=description)
    parser.add_argument("folder", type=Path, metavar="DIR", help="with train/<class>/*")
    parser.add_argument("--batch-size", type=whole(1), default=32)
    parser.add_argument("--image-size", type=whole(63), default=224)
    parser.add_argument("--workers", type=whole(0), default=2)
    add_arguments(parser)
    args = parser.parse_args()
    window = Window(args.warm_steps, args.steps)
    loader, classes = load(args)
    batches = window.watch(loader)
    if args.read_only:
        for _ in batches:
            pass
    else:
        train(batches, classes, window)
    leave(window.figures(), window.loaders)
