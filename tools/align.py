"""Every step of a port, checked in order: portproof/cli/align.py."""

from functools import partial

from portproof.cli import align
from portproof.system import errors
from tools.project import PROJECT

main = partial(align.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
