"""Every step of a port, checked in order: portproof/cli/align.py."""

from collections.abc import Sequence

from common.project import PROJECT
from portproof.cli import align
from portproof.system import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command for this repository's two trees."""
    return align.main(argv, PROJECT)


if __name__ == "__main__":
    errors.run(main)
