"""Say what a difference between two recorded trainings means: the cause, and the line to change."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from portproof.core.findings import Cause, Difference
from portproof.core.step_compare import Evidence, load
from portproof.diagnose import relations, source_lines, updates
from portproof.system.frameworks import FRAMEWORKS, NAMES

DATA_FIX = "portproof data names the sample and the cause"
LARGEST = 2_000_000  # elements of a gradient that is looked at in full
CUT = r"stop_gradient|detach\(|no_grad|requires_grad"


def explain(evidence: Evidence, note: str = "") -> Cause:
    """Return the cause of the first difference; `note` says under which settings it was seen."""
    difference = evidence.difference
    where = ", ".join(p for p in (difference.name, f"step {difference.step + 1}") if p)
    where += f" {note}" if note else ""
    if difference.what in ("update", "state"):
        return located(evidence, explain_update(evidence), f"{where}, update")
    if difference.what == "gradient":
        return located(evidence, explain_gradient(evidence), f"{where}, backward")
    if difference.what == "forward":
        return explain_forward(evidence)
    if difference.what == "data":
        return Cause(f"batch, {where}", f"data: {difference.problem}", DATA_FIX)
    return located(evidence, OTHERS[difference.what](difference, where), "")


def located(evidence: Evidence, cause: Cause, where: str) -> Cause:
    """Return a cause whose fix has the line to change, in the side that is to be mended."""
    near = source_lines.near(evidence.reports, cause.event)
    if cause.event == "network":
        near = evidence.files
    fix = source_lines.fix(evidence.sides, cause.fix, *cause.patterns, near=near)
    return Cause(where or cause.where, cause.cause, fix)


def explain_forward(evidence: Evidence) -> Cause:
    """Say at which layer the forward passes differ."""
    difference = evidence.difference
    seen = f"the logits differ by {difference.relative:.3g} of the largest, from the same weights"
    seen += f" ({difference.problem})" if difference.problem else ""
    layer = evidence.name_layer()
    if layer is None:
        what = "compare what the training makes of the network's input and output"
        same = "the networks by themselves are the same"
        calls = (r"model\(|network\(",)
        cause = Cause("logits", same, what, patterns=calls, event="forward")
        layer = located(evidence, cause, "")
    where = f"{layer.where}, step {difference.step + 1}, forward"
    return Cause(where, f"{layer.cause}; {seen}", layer.fix)


# ---- what is neither a gradient nor an update ----


def explain_loss(difference: Difference, where: str) -> Cause:
    """Say that another loss comes from the same logits."""
    cause = f"the loss differs from the same logits: {difference.problem}"
    what = "take the same loss (portproof align --only loss names it)"
    patterns = (r"CrossEntropy|cross_entropy|criterion",)
    return Cause(f"loss, {where}", cause, what, patterns=patterns, event="loss")


def explain_weights(difference: Difference, where: str) -> Cause:
    """Say that the weights differ before a step."""
    if difference.step:
        what = "change no parameter but by the optimizer's step"
        cause = f"{difference.name}: {difference.problem}"
        patterns = (r"set_value|copy_\(|\.data\b|no_grad",)
        return Cause(where, cause, what, patterns=patterns, event="forward")
    message = difference.problem or "other numbers"
    seen = f"{difference.name} is not the same before the first step: {message}"
    patterns = (r"load_weights|set_state_dict|load_state_dict",)
    return Cause(where, seen, "load the weights as they are", patterns=patterns, event="load")


def explain_running(difference: Difference, where: str) -> Cause:
    """Say that the running statistics of a normalization take in another share of the batch's."""
    layer, _, buffer = difference.name.rpartition(".")
    seen = f"{buffer} of {layer}: {difference.problem} (momentum)"
    what = "Paddle's momentum is 1 minus PyTorch's: 0.9 where PyTorch has 0.1"
    where = f"{layer}, step {difference.step + 1}"
    return Cause(where, seen, what, patterns=(r"BatchNorm.*momentum",), event="network")


def explain_rate(difference: Difference, where: str) -> Cause:
    """Say that the optimizers report other rates."""
    what = "use the same schedule (portproof align --only lr tells them apart)"
    where, patterns = f"learning rate, {where}", (r"scheduler\s*=|StepDecay|StepLR|Cosine",)
    return Cause(where, difference.problem, what, patterns=patterns, event="schedule")


def explain_mode(difference: Difference, where: str) -> Cause:
    """Say that one side trains in evaluation mode."""
    what = "call model.train() before training, and eval() before evaluation"
    patterns = (r"\.eval\(\)|\.train\(",)
    return Cause(where, difference.problem, what, patterns=patterns, event="forward")


OTHERS: dict[str, Callable[[Difference, str], Cause]] = {
    "loss": explain_loss,
    "weights": explain_weights,
    "running": explain_running,
    "lr": explain_rate,
    "mode": explain_mode,
}

# ---- gradients ----


def explain_gradient(evidence: Evidence) -> Cause:
    """Return what a gradient that differs says, and what to change."""
    difference = evidence.difference
    lost = without_gradient(evidence)
    if lost is not None:
        return lost
    partner = dict(evidence.pairs)[difference.name]
    tensors = {side: evidence.reports[side]["tensors"] for side in FRAMEWORKS}
    torch = np.array(tensors["torch"][difference.step]["gradient"][difference.name])
    paddle = np.array(tensors["paddle"][difference.step]["gradient"][partner])
    factor = paddle[2] / torch[2] if torch[2] else np.nan
    if np.allclose(paddle[2:], factor * torch[2:], rtol=1e-6, atol=0):
        return Cause(
            difference.name,
            f"the gradient of {difference.name} is {factor:.6g} times PyTorch's, and so is what "
            "comes after it (backwards)",
            "look for a factor in the loss, a summed loss, gradient clipping or an accumulation",
            patterns=("clip", r"backward\(", r"criterion\("),
            event="backward",
        )
    layer = difference.name.rpartition(".")[0]
    return Cause(
        difference.name,
        f"the gradient of {difference.name} differs by {difference.relative:.3g} of itself"
        f"{in_full(evidence, partner)}, and none that is computed before it (backwards) does",
        f"compare what {layer} and the layers right after it do in the backward pass",
        patterns=(CUT, "register_hook|PyLayer|clip"),
        event="network",
    )


def without_gradient(evidence: Evidence) -> Cause | None:
    """Return what it says that one side has no gradients where the other has, or None."""
    none = {}
    for number, side in enumerate(FRAMEWORKS):
        noted = evidence.reports[side]["tensors"][evidence.difference.step]["gradient"]
        none[side] = [
            pair[number]
            for pair in evidence.pairs
            if noted.get(pair[number]) is None or not any(noted[pair[number]][:2])
        ]
    for side, other in (("paddle", "torch"), ("torch", "paddle")):
        if len(none[side]) > len(none[other]):
            names = none[side]
            few = f" and {len(names) - 1} more" if names[1:] else ""
            return Cause(
                names[-1],
                f"{names[-1]}{few} have no gradient in {NAMES[side]}: the layer is frozen, or the "
                "graph is cut behind it",
                "let the gradient through: look for stop_gradient, detach() and no_grad() in the "
                "network's forward and where its parameters are set up",
                patterns=(CUT,),
                event="network",
            )
    return None


def in_full(evidence: Evidence, partner: str) -> str:
    """Record again up to the step that differs, and say what one gradient is of the other."""
    name, step = evidence.difference.name, evidence.difference.step
    if np.prod(evidence.reports["torch"]["shapes"][name]) > LARGEST:
        return ""
    names = {"torch": name, "paddle": partner}
    full = {side: {str(step): [f"gradient {name}"]} for side, name in names.items()}
    again = evidence.again(step + 1, full)
    left, right = (
        load(again[side], f"{step}-gradient-{name}.npy").astype(np.float64)
        for side, name in names.items()
    )
    relation = relations.explain(left, right)
    if relation is not None:
        return f" (it is {relation})"
    if left.shape != right.shape:
        return ""
    apart = np.abs(left - right)
    count = np.count_nonzero(apart > 1e-9 * np.abs(left).max(initial=0))
    worst = np.unravel_index(apart.argmax(), apart.shape)
    index = ", ".join(str(int(axis)) for axis in worst)
    return (
        f" ({count} of {left.size} elements; most at [{index}]: {left[worst]:.6g} in PyTorch, "
        f"{right[worst]:.6g} in PaddlePaddle)"
    )


# ---- updates ----


def explain_update(evidence: Evidence) -> Cause:
    """Record again up to the step that differs, with the tensors of one parameter in full.

    The first step does not show what the optimizer keeps of the one before: the second does.
    """
    difference, reports = evidence.difference, evidence.reports
    step = min(max(difference.step, 1), len(reports["torch"]["rows"]) - 1)
    wanted = updates.wanted(evidence.pairs, reports, step, difference.name)
    again = evidence.again(step + 1, wanted)
    names = {"torch": difference.name, "paddle": dict(evidence.pairs)[difference.name]}
    cause = updates.explain(again, names, step)
    group = describe_group(difference.others, [torch for torch, _ in evidence.pairs])
    return replace(cause, cause=f"{cause.cause} ({group})") if group else cause


def describe_group(names: tuple[str, ...], all_names: list[str]) -> str:
    """Return in words which of all parameters these are; empty where it is one alone."""
    if len(names) <= 1:
        return ""
    chosen = set(names)
    if chosen == set(all_names):
        return "and so of every parameter"
    for ending in ("bias", "weight"):
        if chosen == {name for name in all_names if name.endswith(f".{ending}")}:
            return f"and so of every {ending} and of nothing else: a group of its own"
    for prefix in dict.fromkeys(name.partition(".")[0] for name in names):
        if chosen == {name for name in all_names if name.startswith(f"{prefix}.")}:
            return f"and so of all of {prefix} and of nothing else: a group of its own"
    few = ", ".join(names[1:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"and so of {few}{more}: a group of its own"
