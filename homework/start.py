"""Begin the homework: copy the files with empty places to a folder of your own.

    python -m homework.start my-resnet

Exit status: 0 done, 2 wrong usage.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from homework.trees import FILES, STARTER
from portproof.system import errors
from portproof.system.command_line import Parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m homework.start", description=__doc__)
    parser.add_argument("port", type=Path, metavar="DIR", help="a folder that is not there yet")
    target = parser.parse_args(argv).port
    try:
        shutil.copytree(STARTER, target, ignore=shutil.ignore_patterns("__pycache__"))
    except FileExistsError:
        parser.error(f"{target} is there already, and your work may be in it: name another folder")
    except OSError as error:
        parser.error(f"{target}: cannot be written ({error.strerror})")
    print(f"wrote {', '.join(str(target / name) for name in FILES)}")
    print("each has its torch file in homework/ResNet-torch; fill the empty places in this order,")
    print(f"and look how far you are: python -m homework.check {target}")


if __name__ == "__main__":
    errors.run(main)
