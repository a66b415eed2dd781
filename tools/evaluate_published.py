"""Published weights, measured by both trees: experiments/evaluate_published.py."""

from experiments.evaluate_published import main
from portproof.system import errors

if __name__ == "__main__":
    errors.run(main)
