"""A project converted by machine, finished and checked: portproof/cli/convert.py."""

from functools import partial

from portproof.cli import convert
from portproof.system import errors
from tools.project import PROJECT

main = partial(convert.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
