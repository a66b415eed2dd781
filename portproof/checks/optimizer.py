"""The checkpoint optimizer: what do the optimizers do with given gradients?"""

from portproof.checks.training import compare_steps
from portproof.core.training_pair import Request, TrainingPair, exact
from portproof.core.verdict import DIVERGED, Verdict
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


def check_optimizer(pair: TrainingPair) -> Verdict:
    """Compare steps from given gradients, every parameter, with a decay large enough to see."""
    verdict = Verdict("optimizer")
    for name, settings in SETTINGS.items():
        if verdict.verdict == DIVERGED:
            break
        dtype = None if name == "momentum" else "float64"  # None: both
        request = Request("optimizer", settings, dtype, {"plan": {"steps": STEPS}})
        try:
            compare_steps(verdict, pair, request, f"({name})")
        except UserError as error:
            if name == "momentum" or NAMES["torch"] not in str(error):
                raise
            # An optimizer that cannot do without momentum, say, is none the worse for it.
            verdict.details.append({"title": f"{name}: not compared", "text": str(error)})
    return verdict
