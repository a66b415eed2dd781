"""The checkpoint optimizer: what do the optimizers do with given gradients?"""

from portproof.checks.training import blame_first
from portproof.core.step_compare import LOOKS, largest
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
# The network does not run; the rate has its own checkpoint.
LOOKED_AT = LOOKS.keys() - {"forward", "mode", "lr"}


def check_optimizer(pair: TrainingPair) -> Verdict:
    """Compare steps from given gradients, every parameter, with a decay large enough to see."""
    verdict = Verdict("optimizer")
    for name in SETTINGS:
        if verdict.verdict == DIVERGED:
            break
        try:
            check_settings(verdict, pair, name, "float64")
            if name == "momentum":
                check_settings(verdict, pair, name, "float32")
        except UserError as error:
            if name == "momentum" or NAMES["torch"] not in str(error):
                raise
            # An optimizer that cannot do without momentum, say, is none the worse for it.
            verdict.details.append({"title": f"{name}: not compared", "text": str(error)})
    return verdict


def check_settings(verdict: Verdict, pair: TrainingPair, name: str, dtype: str) -> None:
    """Compare the steps of one of SETTINGS."""
    recording = {"dtype": dtype, "plan": {"steps": STEPS}}
    request = Request("optimizer", SETTINGS[name], dtype, recording)
    reports = pair.ask(request)
    apart = largest(pair.pairs(), reports, ("after",))
    setattr(verdict, dtype, max(getattr(verdict, dtype) or 0.0, apart))
    blame_first(verdict, pair, request, reports, LOOKED_AT, f"({name})")
