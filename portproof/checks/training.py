"""The checkpoint training: some steps from the same weights, with the same units dropped."""

from dataclasses import replace

from portproof.checks.forward import name_layer
from portproof.core.step_compare import LOOKS, Reports, first_difference, largest
from portproof.core.tensor_compare import DTYPES
from portproof.core.training_pair import Evidence, Request, TrainingPair
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose import training

Records = dict[str, Reports]  # by dtype
# By checkpoint: the differences that it looks for, and what its largest difference is of.
LOOKED_AT = {
    "backward": ({"forward", "loss", "gradient", "weights", "mode"}, "gradient"),
    # The network does not run; the rate has its own checkpoint.
    "optimizer": (LOOKS.keys() - {"forward", "mode", "lr"}, "after"),
    "training": (LOOKS.keys(), "loss"),
}


def check_training(pair: TrainingPair, steps: int, drawn: bool = True) -> tuple[Verdict, Records]:
    """Compare steps of training, on drawn or real images; return verdict and records by dtype."""
    verdict = Verdict("training")
    settings = {"epochs": steps + 1, "schedule": "step", "warmup_epochs": 0}
    batches = pair.batches(steps) if drawn else pair.shared_batches(steps, settings)
    recording = {"batches": batches, "plan": {"steps": steps}}
    return verdict, compare_steps(verdict, pair, Request("training", settings, None, recording))


def compare_steps(
    verdict: Verdict, pair: TrainingPair, request: Request, note: str = ""
) -> Records:
    """Record steps in float64, then in float32, and judge them; return the records by dtype.

    In one dtype alone where `request.weights` names it. `note` says under which settings.
    """
    kinds, measured = LOOKED_AT[verdict.name]
    records = {}
    for dtype in [request.weights] if request.weights else DTYPES:
        if verdict.verdict == DIVERGED:
            break  # the rounding of two different trainings says nothing
        of_dtype = replace(request, weights=dtype, recording=request.recording | {"dtype": dtype})
        records[dtype] = pair.ask(of_dtype)
        apart = largest(pair.pairs(), records[dtype], measured)
        setattr(verdict, dtype, max(getattr(verdict, dtype) or 0.0, apart))
        difference = first_difference(pair.pairs(), records[dtype])
        if dtype == "float64" and difference and difference.what in kinds:
            evidence = Evidence(pair, of_dtype, records[dtype], difference, name_layer)
            verdict.blame(training.explain(evidence, note))
    return records
