"""A project converted by machine, finished and checked: portproof/cli/convert.py."""

from portproof.system import errors
from tools.project import command

main = command("convert")

if __name__ == "__main__":
    errors.run(main)
