"""What each converter leaves to do, as a table: experiments/convert_table.py."""

from experiments.convert_table import main
from portproof.system import errors

if __name__ == "__main__":
    errors.run(main)
