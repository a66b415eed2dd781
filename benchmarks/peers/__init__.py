"""What a user would train with instead: small scripts in the manner of others' own."""

import argparse
from pathlib import Path

from benchmarks.window import add_arguments
from common.args import Parser, whole


def get_parser(name: str, description: str | None) -> Parser:
    """Return the parser of a peer."""
    parser = Parser(
        prog=f"benchmarks.peers.{name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=description,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="with train/<class>/*")
    parser.add_argument("--batch-size", type=whole(1), default=32)
    parser.add_argument("--image-size", type=whole(63), default=224)
    parser.add_argument("--workers", type=whole(0), default=2)
    add_arguments(parser)
    return parser
