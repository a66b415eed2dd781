"""Published weights, measured by both trees: experiments/evaluate_published.py."""

from experiments.evaluate_published import main
from experiments.runner import leave_at_sigterm
from portproof.system import errors

if __name__ == "__main__":
    leave_at_sigterm()  # scratch files go then, too
    errors.run(main)
