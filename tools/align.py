"""Every step of a port, checked in order: portproof/cli/align.py."""

from functools import partial

from common.project import PROJECT
from portproof.cli import align
from portproof.system import errors

main = partial(align.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
