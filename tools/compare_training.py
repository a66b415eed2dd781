"""The first steps of two trainings, compared: portproof/cli/training.py."""

from portproof.system import errors
from tools.project import command

main = command("training")

if __name__ == "__main__":
    errors.run(main)
