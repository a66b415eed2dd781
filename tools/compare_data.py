"""What two loaders give, compared sample by sample: portproof/cli/data.py."""

from functools import partial

from portproof.cli import data
from portproof.system import errors
from tools.project import PROJECT

main = partial(data.main, project=PROJECT)

if __name__ == "__main__":
    errors.run(main)
