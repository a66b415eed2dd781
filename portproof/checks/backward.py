"""The checkpoint backward: all gradients of one batch, from the same weights."""

from portproof.checks.training import compare_steps
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict


def check_backward(pair: TrainingPair) -> Verdict:
    """Compare all gradients of one batch, in evaluation mode, from the same weights."""
    verdict = Verdict("backward")
    plan = {"steps": 1, "evaluates": True}
    recording = {"batches": pair.batches(1), "plan": plan}
    compare_steps(verdict, pair, Request("training", recording=recording))
    return verdict
