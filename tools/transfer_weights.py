"""Weights carried from one framework to the other, bit by bit: portproof/cli/transfer.py."""

from portproof.system import errors
from tools.project import command

main = command("transfer")

if __name__ == "__main__":
    errors.run(main)
