"""Say what a difference between two recorded trainings means: the cause, and the line to change."""

from dataclasses import replace

import numpy as np

from portproof.core.findings import Cause, Difference
from portproof.core.step_compare import load
from portproof.core.training_pair import Evidence
from portproof.diagnose import relations, updates
from portproof.diagnose.source_lines import located
from portproof.system.frameworks import FRAMEWORKS, NAMES

LARGEST = 2_000_000  # elements of a gradient that is looked at in full
CUT = r"stop_gradient|detach\(|no_grad|requires_grad"


def explain(evidence: Evidence, note: str = "") -> Cause:
    """Return the cause of the first difference; `note` says under which settings it was seen."""
    difference = evidence.difference
    where = f"step {difference.step + 1} {note}".strip()
    where = f"{difference.name}, {where}" if difference.name else where
    if difference.what == "data":
        fix = "portproof data names the sample and the cause"
        return Cause(f"batch, {where}", f"data: {difference.problem}", fix)
    if difference.what == "forward":
        return explain_forward(evidence)
    if difference.what in ("update", "state"):
        cause = replace(explain_update(evidence), where=f"{where}, update")
    elif difference.what == "gradient":
        cause = without_gradient(evidence) or explain_gradient(evidence)
        cause = replace(cause, where=f"{where}, backward")
    else:
        cause = explain_other(difference, where)
    return located(cause, evidence.pair, evidence.reports)


def explain_forward(evidence: Evidence) -> Cause:
    """Say at which layer the forward passes differ."""
    difference = evidence.difference
    cause = evidence.name_layer(evidence.pair)
    if cause is None:
        words = "the networks by themselves are the same"
        fix = "compare what the training makes of the network's input and output"
        cause = Cause("logits", words, fix, patterns=(r"model\(|network\(",), event="forward")
        cause = located(cause, evidence.pair, evidence.reports)
    seen = f"the logits differ by {difference.relative:.3g} of the largest, from the same weights"
    seen += f" ({difference.problem})" if difference.problem else ""
    where = f"{cause.where}, step {difference.step + 1}, forward"
    return Cause(where, f"{cause.cause}; {seen}", cause.fix)


def explain_other(difference: Difference, where: str) -> Cause:
    """Return the cause of a difference in mode, loss, rate, weights or running statistics."""
    cause = difference.problem
    if difference.what == "mode":
        fix = "call model.train() before training, and eval() before evaluation"
        lines, event = r"\.eval\(\)|\.train\(", "forward"
    elif difference.what == "loss":
        where, cause = f"loss, {where}", f"the loss differs from the same logits: {cause}"
        fix = "take the same loss (portproof align --only loss names it)"
        lines, event = r"CrossEntropy|cross_entropy|criterion", "loss"
    elif difference.what == "lr":
        where = f"learning rate, {where}"
        fix = "use the same schedule (portproof align --only lr tells them apart)"
        lines, event = r"scheduler\s*=|StepDecay|StepLR|Cosine", "schedule"
    elif difference.what == "running":
        layer, _, buffer = difference.name.rpartition(".")
        where = f"{layer}, step {difference.step + 1}"
        cause = f"{buffer} of {layer}: {cause} (momentum)"
        fix = "Paddle's momentum is 1 minus PyTorch's: 0.9 where PyTorch has 0.1"
        lines, event = r"BatchNorm.*momentum", "network"
    elif difference.step:
        cause = f"{difference.name}: {cause}"
        fix = "change no parameter but by the optimizer's step"
        lines, event = r"set_value|copy_\(|\.data\b|no_grad", "forward"
    else:
        seen = f"{difference.name} is not the same before the first step"
        cause = f"{seen}: {cause or 'other numbers'}"
        fix = "load the weights as they are"
        lines, event = r"load_weights|set_state_dict|load_state_dict", "load"
    return Cause(where, cause, fix, patterns=(lines,), event=event)


# ---- gradients ----


def explain_gradient(evidence: Evidence) -> Cause:
    """Return what a gradient that differs says, and what to change."""
    difference, name = evidence.difference, evidence.difference.name
    partner = dict(evidence.pairs)[name]
    noted = [evidence.reports[side]["tensors"][difference.step] for side in FRAMEWORKS]
    torch, paddle = (np.array(noted[n]["gradient"][key]) for n, key in enumerate((name, partner)))
    factor = paddle[2] / torch[2] if torch[2] else np.nan
    if np.allclose(paddle[2:], factor * torch[2:], rtol=1e-6, atol=0):
        cause = f"the gradient of {name} is {factor:.6g} times PyTorch's, and so is what comes "
        cause += "after it (backwards)"
        fix = "look for a factor in the loss, a summed loss, gradient clipping or an accumulation"
        lines = ("clip", r"backward\(", r"criterion\(")
        return Cause(name, cause, fix, patterns=lines, event="backward")
    cause = f"the gradient of {name} differs by {difference.relative:.3g} of itself"
    cause += f"{in_full(evidence, partner)}, and none that is computed before it (backwards) does"
    layer = name.rpartition(".")[0]
    fix = f"compare what {layer} and the layers right after it do in the backward pass"
    return Cause(name, cause, fix, patterns=(CUT, "register_hook|PyLayer|clip"), event="network")


def without_gradient(evidence: Evidence) -> Cause | None:
    """Return the cause if one side has no gradients where the other has."""
    lacking = {}
    for side, names in zip(FRAMEWORKS, zip(*evidence.pairs, strict=True), strict=True):
        noted = evidence.reports[side]["tensors"][evidence.difference.step]["gradient"]
        lacking[side] = [name for name in names if not any((noted.get(name) or ())[:2])]
    side = max(("paddle", "torch"), key=lambda side: len(lacking[side]))
    names = lacking[side]
    if len(lacking["torch"]) == len(lacking["paddle"]):
        return None
    few = f" and {len(names) - 1} more" if names[1:] else ""
    cause = f"{names[-1]}{few} have no gradient in {NAMES[side]}: the layer is frozen, or the "
    cause += "graph is cut behind it"
    fix = "let the gradient through: look for stop_gradient, detach() and no_grad() in the "
    fix += "network's forward and where its parameters are set up"
    return Cause(names[-1], cause, fix, patterns=(CUT,), event="network")


def in_full(evidence: Evidence, partner: str) -> str:
    """Record again up to the step that differs, and say what one gradient is of the other."""
    name, step = evidence.difference.name, evidence.difference.step
    if np.prod(evidence.reports["torch"]["shapes"][name]) > LARGEST:
        return ""
    keys, arrays = {"torch": name, "paddle": partner}, []
    wanted = {side: {str(step): [f"gradient {key}"]} for side, key in keys.items()}
    again = evidence.again(step + 1, wanted)
    for side, key in keys.items():
        arrays.append(load(again[side], f"{step}-gradient-{key}.npy").astype(np.float64))
    left, right = arrays
    if relation := relations.explain(left, right):
        return f" (it is {relation})"
    if left.shape != right.shape:
        return ""
    apart = np.abs(left - right)
    count = np.count_nonzero(apart > 1e-9 * np.abs(left).max(initial=0))
    worst = np.unravel_index(apart.argmax(), apart.shape)
    index = ", ".join(map(str, worst))
    sizes = f"{left[worst]:.6g} in PyTorch, {right[worst]:.6g} in PaddlePaddle"
    return f" ({count} of {left.size} elements; most at [{index}]: {sizes})"


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
    chosen, prefix = set(names), names[0].partition(".")[0]
    few = ", ".join(names[1:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    if chosen == set(all_names):
        return "and so of every parameter"
    if chosen == {name for name in all_names if name.startswith(f"{prefix}.")}:
        few = f"all of {prefix} and of nothing else"
    for ending in ("bias", "weight"):
        if chosen == {name for name in all_names if name.endswith(f".{ending}")}:
            few = f"every {ending} and of nothing else"
    return f"and so of {few}: a group of its own"
