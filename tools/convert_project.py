"""A project converted by machine, finished and checked: portproof/cli/convert.py."""

from collections.abc import Sequence

from common.project import PROJECT
from portproof.cli import convert
from portproof.system import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with this repository's environments and its Paddle port file."""
    return convert.main(argv, PROJECT)


if __name__ == "__main__":
    errors.run(main)
