"""The routes of X2Paddle, compared: experiments/convert_routes.py."""

from experiments.convert_routes import main
from portproof.system import errors

if __name__ == "__main__":
    errors.run(main)
