"""The forward passes of two networks, compared layer by layer: portproof/cli/forward.py."""

from functools import partial

from portproof.cli import forward
from portproof.system import errors
from tools.project import PROJECT

main = partial(forward.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
