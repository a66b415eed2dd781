"""What two sequences of learning rates say."""

import numpy as np

from portproof.core.findings import Cause
from portproof.diagnose.updates import OPTIMIZER
from portproof.system.frameworks import FRAMEWORKS

WARM = 3  # steps: a schedule that changes before has a warm-up
SCHEDULE = (r"StepDecay|StepLR|Cosine|Decay\(", r"scheduler\s*=")
STEPPED = (r"scheduler\.step|\.step\(\)",)
Words = tuple[str, str, tuple[str, ...]]  # cause, fix, patterns of the line


def explain_group(name: str, rate: float) -> Cause:
    """Say that one parameter has a rate of its own."""
    cause = f"the rate of {name} alone, which is of {rate:.6g} for the others: its group, or "
    cause += "ParamAttr(learning_rate)"
    fix = "give the groups the same rates; a Paddle group's learning_rate multiplies the "
    fix += "optimizer's, PyTorch's replaces it"
    patterns = ("learning_rate", "optimize_attr", "parameters")
    return Cause(name, cause, fix, patterns=patterns, event="optimizer")


def explain(rates: dict[str, list[float]], rows: dict[str, list[dict]]) -> Cause:
    """Return what two different sequences of learning rates say, and what to change."""
    count = min(map(len, rates.values()))
    torch, paddle = (np.array(rates[side][:count]) for side in FRAMEWORKS)
    reported = np.array([row["reported"] for row in rows["paddle"][:count]])
    rests = np.ptp(paddle) <= 1e-9 * abs(paddle[0]) and np.ptp(torch) > 0
    cause, fix, patterns = _explain_constant(reported) if rests else _explain(torch, paddle)
    event = "backward" if patterns == STEPPED else "schedule"
    return Cause("", cause, fix, patterns=patterns, event=event)


def _explain_constant(reported: np.ndarray) -> Words:
    if np.ptp(reported) > 0:
        cause = "PaddlePaddle's scheduler moves and its optimizer does not follow: the schedule is "
        cause += "not attached (the optimizer was given a number)"
        fix = "give the scheduler itself to the optimizer: Momentum(scheduler, ...)"
        return cause, fix, (OPTIMIZER,)
    cause = "PaddlePaddle's rate never changes: the schedule is not stepped, or not attached to "
    fix = "call scheduler.step() after every optimizer.step(), and give the scheduler itself to "
    return f"{cause}the optimizer", f"{fix}the optimizer", STEPPED


def _explain(torch: np.ndarray, paddle: np.ndarray) -> Words:
    ratio = paddle / torch
    if np.ptp(ratio) <= 1e-6 * abs(ratio[0]):
        cause = f"PaddlePaddle's rate is {ratio[0]:.6g} times PyTorch's at every step: scaling (to "
        cause += "the number of GPUs), or another rate"
        fix = "scale the recipe's rate: lr * world_size / gpus"
        return cause, fix, (r"return .*lr", r"lr\s*=", OPTIMIZER)
    shifted = {"early": (torch[1:], paddle[:-1]), "late": (torch[:-1], paddle[1:])}
    for word, rates in shifted.items():
        if np.allclose(*rates, rtol=1e-6):
            cause = f"the schedule is one step {word}"
            return cause, "step it once, after the optimizer's step", STEPPED
    left, right = (
        np.flatnonzero(np.abs(np.diff(a)) > 1e-9 * np.abs(a[:-1])) + 1 for a in (torch, paddle)
    )
    if len(left) and np.array_equal(left, right):
        at = int(left[0])
        with np.errstate(divide="ignore"):  # a warm-up may begin at 0
            factors = torch[at] / torch[at - 1], paddle[at] / paddle[at - 1]
        cause = f"the schedule's factor (gamma), warm-up or end: at step {at} it is multiplied by "
        cause += f"{factors[0]:.6g} and {factors[1]:.6g}"
        lines = (r"WARMUP|LinearWarmup", *SCHEDULE) if at < WARM else SCHEDULE
        return cause, "use the same schedule", lines
    if len(left) and len(right):
        ours, theirs = left[:4].tolist(), right[:4].tolist()
        cause = f"it changes at steps {ours} in PyTorch, {theirs} in PaddlePaddle: the step "
        cause += "size of the schedule, counted in epochs or in steps, or when it is stepped"
        return cause, "use the same step size", SCHEDULE
    return "another schedule", "use the same schedule with the same arguments", SCHEDULE
