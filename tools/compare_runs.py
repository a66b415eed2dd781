"""Finished runs of two implementations: are they equivalent: portproof/cli/runs.py."""

from portproof.cli.runs import main
from portproof.system import errors

if __name__ == "__main__":
    errors.run(main)
