"""Fetch the weights that torchvision publishes for AlexNet, AlexNet_Weights.IMAGENET1K_V1.

python scripts/fetch_weights.py FOLDER

The file's name ends with the first digits of its SHA-256, against which it is checked. One that you
have from elsewhere may be put into FOLDER by hand.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from downloads import File, download  # first: it says so where torchvision is missing
from torchvision.models import AlexNet_Weights

from portproof.system import errors, locks
from portproof.system.command_line import Parser
from portproof.system.errors import explained


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="fetch_weights.py", description="Fetch torchvision's published weights of AlexNet."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the file is kept")
    folder = parser.parse_args(argv).folder.resolve()
    url = AlexNet_Weights.IMAGENET1K_V1.url
    file = File(url, re.search(r"-([0-9a-f]{8,})\.pth$", url)[1], "sha256")
    advice = "allow writing there, or name a file that you have by --weights"
    readable = explained(f"{folder}: cannot be written", advice, OSError)
    with readable, locks.locked(folder / file.name):
        download("the weights", file, folder)


if __name__ == "__main__":
    errors.run(main)
