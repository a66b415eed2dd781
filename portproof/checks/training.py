"""The checkpoint training: some steps from the same weights, with the same units dropped."""

from collections.abc import Collection

import numpy as np

from portproof.checks.forward import name_layer
from portproof.core.step_compare import (
    LOOKS,
    Reports,
    first_difference,
    loss_differences,
    losses,
)
from portproof.core.training_pair import Evidence, Request, TrainingPair
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose import training


def check_training(
    pair: TrainingPair, steps: int, drawn: bool = True
) -> tuple[Verdict, dict[str, Reports]]:
    """Compare steps of training, on drawn or real images; return verdict and records by dtype."""
    verdict, records = Verdict("training"), {}
    settings = {"epochs": steps + 1, "schedule": "step", "warmup_epochs": 0}
    batches = pair.batches(steps) if drawn else pair.shared_batches(steps, settings)
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break  # the rounding of two different trainings says nothing
        recording = {"dtype": dtype, "batches": batches, "plan": {"steps": steps}}
        request = Request("training", settings, dtype, recording)
        records[dtype] = pair.ask(request)
        differences = loss_differences(losses(records[dtype]))
        setattr(verdict, dtype, float(np.nanmax(differences, initial=0.0)))
        blame_first(verdict, pair, request, records[dtype])
    return verdict, records


def blame_first(
    verdict: Verdict,
    pair: TrainingPair,
    request: Request,
    reports: Reports,
    kinds: Collection[str] = LOOKS,
    note: str = "",
) -> None:
    """Blame the first difference in float64, if it is of these kinds; `note`: of which settings."""
    if request.weights != "float64":
        return
    difference = first_difference(pair.pairs(), reports)
    if difference is not None and difference.what in kinds:
        evidence = Evidence(pair, request, reports, difference, name_layer)
        verdict.blame(training.explain(evidence, note))
