"""What two loaders give, compared sample by sample: portproof/cli/data.py."""

from collections.abc import Sequence

from common.project import PROJECT
from portproof.cli import data
from portproof.system import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command for this repository's two trees."""
    return data.main(argv, PROJECT)


if __name__ == "__main__":
    errors.run(main)
