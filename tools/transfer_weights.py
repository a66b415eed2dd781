"""Weights carried from one framework to the other, bit by bit: portproof/cli/transfer.py."""

from functools import partial

from portproof.cli import transfer
from portproof.system import errors
from tools.project import PROJECT

main = partial(transfer.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
