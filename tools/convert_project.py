"""A project converted by machine, finished and checked: portproof/cli/convert.py."""

from functools import partial

from common.project import PROJECT
from portproof.cli import convert
from portproof.system import errors

main = partial(convert.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
