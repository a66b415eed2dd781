"""The first steps of two trainings, compared: portproof/cli/training.py."""

from functools import partial

from portproof.cli import training
from portproof.system import errors
from tools.project import PROJECT

main = partial(training.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
