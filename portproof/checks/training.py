"""The checkpoint training: some steps from the same weights, with the same units dropped."""

from portproof.checks.forward import name_layer
from portproof.core.step_compare import first_difference, loss_difference
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose import training


def check_training(
    pair: TrainingPair, steps: int, drawn: bool = True
) -> tuple[Verdict, dict[str, dict]]:
    """Compare `steps` steps of training with the same units dropped, on drawn or real images.

    Returns the verdict, and the records by dtype.
    """
    verdict, records = Verdict("training"), {}
    settings = {"epochs": steps + 1, "schedule": "step", "warmup_epochs": 0}
    batches = pair.batches(steps) if drawn else pair.shared_batches(steps, settings)
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break  # the rounding of two different trainings says nothing
        recording = {"dtype": dtype, "batches": batches, "plan": {"steps": steps}}
        request = Request("training", settings, dtype, recording)
        reports = records[dtype] = pair.ask(request)
        setattr(verdict, dtype, loss_difference(reports))
        difference = first_difference(pair.pairs(), reports) if dtype == "float64" else None
        if difference is not None:
            evidence = pair.evidence(request, reports, difference, name_layer)
            verdict.blame(training.explain(evidence))
    return verdict, records
