"""The checkpoint optimizer: what do the optimizers do with given gradients?"""

from portproof.checks.forward import name_layer
from portproof.core.step_compare import first_difference, largest
from portproof.core.training_pair import Request, TrainingPair, exact
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose import training
from portproof.system.errors import UserError
from portproof.system.frameworks import NAMES

# Decay and rate are large, so that each shows in a step or two.
STRONG = {"gpus": 1, "lr": exact(0.05), "weight_decay": exact(0.1)}
LONG = {"schedule": "step", "epochs": 100, "warmup_epochs": 0}  # the rate stays
SETTINGS = {
    "momentum": STRONG | LONG | {"momentum": exact(0.9)},
    "Nesterov": STRONG | LONG | {"momentum": exact(0.9), "nesterov": True},
    "no momentum": STRONG | LONG | {"momentum": 0},
}
STEPS = 2  # the second one shows what the optimizer keeps of the first
ELSEWHERE = ("forward", "mode", "lr")  # the network does not run; the rate has its own checkpoint


def check_optimizer(pair: TrainingPair) -> Verdict:
    """Compare steps from given gradients, every parameter, with a decay large enough to see."""
    verdict = Verdict("optimizer")
    for name in SETTINGS:
        if verdict.verdict == DIVERGED:
            break
        try:
            for dtype in ("float64", "float32") if name == "momentum" else ("float64",):
                check_settings(verdict, pair, name, dtype)
        except UserError as error:
            if name == "momentum" or NAMES["torch"] not in str(error):
                raise
            # An optimizer that cannot do without momentum, say, is none the worse for it.
            verdict.details.append({"title": f"{name}: not compared", "text": str(error)})
    return verdict


def check_settings(verdict: Verdict, pair: TrainingPair, name: str, dtype: str) -> None:
    """Compare the steps of one of SETTINGS."""
    request = Request(
        "optimizer", SETTINGS[name], dtype, {"dtype": dtype, "plan": {"steps": STEPS}}
    )
    reports = pair.ask(request)
    apart = largest(pair.pairs(), reports, ("after",))
    setattr(verdict, dtype, max(getattr(verdict, dtype) or 0.0, apart))
    if dtype == "float32":
        return
    difference = first_difference(pair.pairs(), reports)
    if difference is not None and difference.what not in ELSEWHERE:
        evidence = pair.evidence(request, reports, difference, name_layer)
        verdict.blame(training.explain(evidence, f"({name})"))
