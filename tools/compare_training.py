"""The first steps of two trainings, compared: portproof/cli/training.py."""

from collections.abc import Sequence

from common.project import PROJECT
from portproof.cli import training
from portproof.system import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command for this repository's two trees."""
    return training.main(argv, PROJECT)


if __name__ == "__main__":
    errors.run(main)
