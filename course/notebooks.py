"""Run a notebook from top to bottom, each cell in order in one new process. Jupyter is not needed.

    python -m course.notebooks docs/notebooks/03-forward.ipynb ...

Exit status 1 where a cell raises; its number and the error are shown. Notebooks are plain Python:
no lines that begin with % or !.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from portproof.system import errors
from portproof.system.command_line import Parser

PROGRAM = """
import json, sys
cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
names = {"__name__": "__main__"}
for number, cell in enumerate(cells):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
"""


def run(path: Path) -> subprocess.CompletedProcess:
    """Run a notebook in its folder, as Jupyter does. Raises UserError where there is none."""
    if not path.is_file():
        raise errors.UserError(f"{path}: no such notebook; name a file that ends in .ipynb")
    command = [sys.executable, "-c", PROGRAM, path.resolve()]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m course.notebooks", description=__doc__)
    name = "FILE.ipynb"
    parser.add_argument("notebooks", nargs="+", type=Path, metavar=name, help="to be run in turn")
    status = 0
    for path in parser.parse_args(argv).notebooks:
        done = run(path)
        print(done.stdout, end="")
        if done.returncode:
            print(f"{path}: {done.stderr}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    errors.run(main)
