"""The first steps of two trainings, compared: portproof/cli/training.py."""

from functools import partial

from common.project import PROJECT
from portproof.cli import training
from portproof.system import errors

main = partial(training.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
