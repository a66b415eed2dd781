"""The two vision libraries' own networks, compared: experiments/compare_libraries.py."""

from experiments.compare_libraries import main
from portproof.system import errors

if __name__ == "__main__":
    errors.run(main)
