"""Weights carried from one framework to the other, bit by bit: portproof/cli/transfer.py."""

from functools import partial

from common.project import PROJECT
from portproof.cli import transfer
from portproof.system import errors

main = partial(transfer.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
