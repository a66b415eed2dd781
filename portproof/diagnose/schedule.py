"""What two sequences of learning rates say."""

import numpy as np

from portproof.core.findings import Cause
from portproof.diagnose.updates import OPTIMIZER

WARM = 3  # steps: a schedule that changes before has a warm-up
SCHEDULE = (r"StepDecay|StepLR|Cosine|Decay\(", r"scheduler\s*=")
STEPPED = (r"scheduler\.step|\.step\(\)",)


def cause(words: str, fix: str, patterns: tuple[str, ...]) -> Cause:
    """Return a cause whose line is looked for where the schedule is made or stepped."""
    event = "backward" if patterns == STEPPED else "schedule"
    return Cause("", words, fix, patterns=patterns, event=event)


def explain_group(name: str, rate: float) -> Cause:
    """Say that one parameter has a rate of its own."""
    words = f"the rate of {name} alone, which is of {rate:.6g} for the others: its group, or "
    words += "ParamAttr(learning_rate)"
    fix = "give the groups the same rates; a Paddle group's learning_rate multiplies the "
    fix += "optimizer's, PyTorch's replaces it"
    patterns = ("learning_rate", "optimize_attr", "parameters")
    return Cause(name, words, fix, patterns=patterns, event="optimizer")


def explain(rates: dict[str, list[float]], rows: dict[str, list[dict]]) -> Cause:
    """Return what two different sequences of learning rates say, and what to change."""
    torch, paddle = np.array(rates["torch"]), np.array(rates["paddle"])
    count = min(len(torch), len(paddle))
    torch, paddle = torch[:count], paddle[:count]
    reported = np.array([row["reported"] for row in rows["paddle"][:count]])
    constant = np.ptp(paddle) <= 1e-9 * abs(paddle[0]) and np.ptp(torch) > 0
    if constant and np.ptp(reported) > 0:
        return cause(
            "PaddlePaddle's scheduler moves and its optimizer does not follow: the schedule is not "
            "attached (the optimizer was given a number)",
            "give the scheduler itself to the optimizer: Momentum(scheduler, ...)",
            (OPTIMIZER,),
        )
    if constant:
        return cause(
            "PaddlePaddle's rate never changes: the schedule is not stepped, or not attached to "
            "the optimizer",
            "call scheduler.step() after every optimizer.step(), and give the scheduler itself to "
            "the optimizer",
            STEPPED,
        )
    ratio = paddle / torch
    if np.ptp(ratio) <= 1e-6 * abs(ratio[0]):
        return cause(
            f"PaddlePaddle's rate is {ratio[0]:.6g} times PyTorch's at every step: scaling (to the "
            "number of GPUs), or another rate",
            "scale the recipe's rate: lr * world_size / gpus",
            (r"return .*lr", r"lr\s*=", OPTIMIZER),
        )
    for shift in (1, -1):
        moved = torch[shift:] if shift > 0 else torch[:shift]
        against = paddle[:-shift] if shift > 0 else paddle[-shift:]
        if np.allclose(moved, against, rtol=1e-6):
            words = f"the schedule is one step {'early' if shift > 0 else 'late'}"
            return cause(words, "step it once, after the optimizer's step", STEPPED)
    return explain_changes(torch, paddle)


def explain_changes(torch: np.ndarray, paddle: np.ndarray) -> Cause:
    """Say at which steps, or by what factors, two sequences of rates change otherwise."""
    changes = [
        np.flatnonzero(np.abs(np.diff(a)) > 1e-9 * np.abs(a[:-1])) + 1 for a in (torch, paddle)
    ]
    if len(changes[0]) and len(changes[1]) and not np.array_equal(*changes):
        steps = [own[:4].tolist() for own in changes]
        words = f"it changes at steps {steps[0]} in PyTorch, {steps[1]} in PaddlePaddle: the step "
        words += "size of the schedule, counted in epochs or in steps, or when it is stepped"
        return cause(words, "use the same step size", SCHEDULE)
    if len(changes[0]) and np.array_equal(*changes):
        at = int(changes[0][0])
        with np.errstate(divide="ignore"):  # a warm-up may begin at 0
            factors = torch[at] / torch[at - 1], paddle[at] / paddle[at - 1]
        words = f"at step {at} it is multiplied by {factors[0]:.6g} and {factors[1]:.6g}"
        return cause(
            f"the schedule's factor (gamma), warm-up or end: {words}",
            "use the same schedule",
            (r"WARMUP|LinearWarmup", *SCHEDULE) if at < WARM else SCHEDULE,
        )
    return cause("another schedule", "use the same schedule with the same arguments", SCHEDULE)
