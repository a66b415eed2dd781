"""The forward passes of two networks, compared layer by layer: portproof/cli/forward.py."""

from functools import partial

from common.project import PROJECT
from portproof.cli import forward
from portproof.system import errors

main = partial(forward.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
