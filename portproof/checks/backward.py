"""The checkpoint backward: all gradients of one batch, from the same weights."""

from portproof.checks.training import blame_first
from portproof.core.step_compare import largest
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import DIVERGED, Verdict

LOOKED_AT = ("forward", "loss", "gradient", "weights", "mode")


def check_backward(pair: TrainingPair) -> Verdict:
    """Compare all gradients of one batch, in evaluation mode, from the same weights."""
    verdict = Verdict("backward")
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break
        plan = {"steps": 1, "evaluates": True}
        recording = {"dtype": dtype, "batches": pair.batches(1), "plan": plan}
        request = Request("training", {}, dtype, recording)
        reports = pair.ask(request)
        setattr(verdict, dtype, largest(pair.pairs(), reports, ("gradient",)))
        blame_first(verdict, pair, request, reports, LOOKED_AT)
    return verdict
