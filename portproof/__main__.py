"""python -m portproof: the command of that name."""

from portproof.cli.main import run

if __name__ == "__main__":
    run()
