"""Every step of a port, checked in order: portproof/cli/align.py."""

from portproof.system import errors
from tools.project import command

main = command("align")

if __name__ == "__main__":
    errors.run(main)
