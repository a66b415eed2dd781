"""What a user would train with instead: small scripts in the manner of others' own."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from benchmarks.window import Window, add_arguments, leave
from portproof.system.command_line import Parser, whole

Train = Callable[[argparse.Namespace, Window], None]


def main(name: str, description: str | None, train: Train) -> NoReturn:
    """Have a peer train the window that its command line asks for, and print its figures."""
    parser = Parser(prog=f"benchmarks.peers.{name}", description=description)
    parser.add_argument("folder", type=Path, metavar="DIR", help="with train/<class>/*")
    parser.add_argument("--batch-size", type=whole(1), default=32)
    parser.add_argument("--image-size", type=whole(63), default=224)
    parser.add_argument("--workers", type=whole(0), default=2)
    add_arguments(parser)
    args = parser.parse_args()
    window = Window(args.warm_steps, args.steps)
    train(args, window)
    leave(window.figures(), window.loaders)
