"""Weights carried from one framework to the other, bit by bit: portproof/cli/transfer.py."""

from collections.abc import Sequence

from common.project import PROJECT
from portproof.cli import transfer
from portproof.system import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command for this repository's two trees."""
    return transfer.main(argv, PROJECT)


if __name__ == "__main__":
    errors.run(main)
