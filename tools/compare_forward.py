"""The forward passes of two networks, compared layer by layer: portproof/cli/forward.py."""

from collections.abc import Sequence

from common.project import PROJECT
from portproof.cli import forward
from portproof.system import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command for this repository's two trees."""
    return forward.main(argv, PROJECT)


if __name__ == "__main__":
    errors.run(main)
