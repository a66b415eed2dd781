"""Say what a difference between two runs of training means: the cause, and the line to change."""

import numpy as np

from tools import forward, relations, sources, update_faults
from tools.places import Place
from tools.probes import FRAMEWORKS, NAMES
from tools.rehearsals import Asked, Rehearsals, load
from tools.verdicts import Verdict

DATA_FIX = "tools/compare_data.py names the sample and the cause"
LARGEST = 2_000_000  # elements of a gradient that is looked at in full
TRAIN = ("train.py",)
CUT = r"stop_gradient|detach\(|no_grad|requires_grad"


def tell(
    verdict: Verdict,
    rehearsals: Rehearsals,
    reports: dict[str, dict],
    place: Place,
    asked: Asked,
    note: str = "",
) -> None:
    """Note in `verdict` the first difference of two reports, which `asked` has brought."""
    where = ", ".join(part for part in (place.name, f"step {place.step + 1}") if part)
    where += f" {note}" if note else ""
    if place.what in ("update", "state"):
        cause, fix = explain_update(rehearsals, reports, place, asked)
        verdict.diverge(f"{where}, update", cause, fix)
    elif place.what == "gradient":
        cause, fix = explain_gradient(rehearsals, reports, place, asked)
        verdict.diverge(f"{where}, backward", cause, fix)
    elif place.what == "forward":
        _tell_forward(verdict, rehearsals, place)
    else:
        _tell_other(verdict, rehearsals, place, where)


def _tell_forward(verdict: Verdict, rehearsals: Rehearsals, place: Place) -> None:
    cause = f"the logits differ by {place.relative:.3g} of the largest, from the same weights"
    cause += f" ({place.told})" if place.told else ""
    where, told, fix = name_layer(rehearsals)
    verdict.diverge(f"{where}, step {place.step + 1}, forward", f"{told}; {cause}", fix)


def _tell_other(verdict: Verdict, rehearsals: Rehearsals, place: Place, where: str) -> None:
    def fix(what: str, *patterns: str, within: tuple[str, ...] = ()) -> str:
        return sources.fix(rehearsals.sides, what, *patterns, within=within, files=TRAIN)

    if place.what == "loss":
        cause = f"the loss differs from the same logits: {place.told}"
        what = "take the same loss (tools/align.py --only loss names it)"
        verdict.diverge(f"loss, {where}", cause, fix(what, r"CrossEntropy|cross_entropy|criterion"))
    elif place.what == "weights" and place.step:
        cause = f"{place.name}: {place.told}"
        what = "change no parameter but by the optimizer's step"
        verdict.diverge(where, cause, fix(what, r"set_value|copy_\(|\.data\b|no_grad"))
    elif place.what == "weights":
        told = place.told or "other numbers"
        cause = f"{place.name} is not the same before the first step: {told}"
        what = "load the weights as they are"
        lines = r"load_weights|set_state_dict|load_state_dict"
        verdict.diverge(where, cause, fix(what, lines, within=("load_weights", "main")))
    elif place.what == "running":
        layer, _, buffer = place.name.rpartition(".")
        cause = f"{buffer} of {layer}: {place.told} (momentum)"
        what = "Paddle's momentum is 1 minus PyTorch's: 0.9 where PyTorch has 0.1"
        verdict.diverge(f"{layer}, step {place.step + 1}", cause, fix(what, r"BatchNorm.*momentum"))
    elif place.what == "lr":
        what = "use the same schedule (tools/align.py --only lr tells them apart)"
        line = r"scheduler\s*=|StepDecay|StepLR|Cosine"
        verdict.diverge(f"learning rate, {where}", place.told, fix(what, line, within=("build",)))
    elif place.what == "mode":
        what = "call model.train() before training, and eval() before evaluation"
        line = fix(what, r"\.eval\(\)|\.train\(", within=("train_one_epoch",))
        verdict.diverge(where, place.told, line)
    else:
        verdict.diverge(f"batch, {where}", f"data: {place.told}", DATA_FIX)


def name_layer(rehearsals: Rehearsals) -> tuple[str, str, str]:
    """Return the layer at which the forward passes differ, the cause and the fix."""
    size = rehearsals.image_size
    inputs = forward.Inputs(None, "float32", 2, (size, 0), None, rehearsals.seed)
    folder = rehearsals.folder / f"forward-{rehearsals.asked}"
    folder.mkdir()
    found = forward.compare(rehearsals.sides, folder, inputs, weights=rehearsals.weights)
    if not found.causes:
        what = "compare what the training makes of the network's input and output"
        line = sources.fix(rehearsals.sides, what, r"model\(", within=("train_step",), files=TRAIN)
        return "logits", "the networks by themselves are the same", line
    cause = found.causes[0]
    return cause.where, cause.cause, cause.fix


# ---- gradients ----


def explain_gradient(
    rehearsals: Rehearsals, reports: dict[str, dict], place: Place, asked: Asked
) -> tuple[str, str]:
    """Return what a gradient that differs says, and what to change."""
    pairs = rehearsals.parameter_pairs(reports)
    lost = _without_gradient(rehearsals, reports, pairs, place)
    if lost is not None:
        return lost
    partner = dict(pairs)[place.name]
    own = np.array(reports["torch"]["tensors"][place.step]["gradient"][place.name])
    theirs = np.array(reports["paddle"]["tensors"][place.step]["gradient"][partner])
    factor = theirs[2] / own[2] if own[2] else np.nan
    if np.allclose(theirs[2:], factor * own[2:], rtol=1e-6, atol=0):
        return (
            f"the gradient of {place.name} is {factor:.6g} times PyTorch's, and so is what comes "
            "after it (backwards)",
            sources.fix(
                rehearsals.sides,
                "look for a factor in the loss, a summed loss, gradient clipping or an "
                "accumulation",
                *(r"clip", r"backward\(", r"criterion\("),
                within=("train_step",),
                files=TRAIN,
            ),
        )
    layer = place.name.rpartition(".")[0]
    return (
        f"the gradient of {place.name} differs by {place.relative:.3g} of itself"
        f"{_in_full(rehearsals, reports, place, asked, partner)}, and none that is computed before "
        "it (backwards) does",
        sources.fix(
            rehearsals.sides,
            f"compare what {layer} and the layers right after it do in the backward pass",
            *(CUT, r"register_hook|PyLayer|clip"),
            within=("forward", "train_step"),
            files=(*rehearsals.model_files, *TRAIN),
        ),
    )


def _without_gradient(
    rehearsals: Rehearsals, reports: dict[str, dict], pairs: list[tuple[str, str]], place: Place
) -> tuple[str, str] | None:
    """Return what it says that one side has no gradients where the other has, or None."""
    none = {}
    for number, side in enumerate(FRAMEWORKS):
        noted = reports[side]["tensors"][place.step]["gradient"]
        none[side] = [
            pair[number]
            for pair in pairs
            if noted.get(pair[number]) is None or not any(noted[pair[number]][:2])
        ]
    for side, other in (("paddle", "torch"), ("torch", "paddle")):
        if len(none[side]) > len(none[other]):
            names = none[side]
            few = f" and {len(names) - 1} more" if names[1:] else ""
            return (
                f"{names[-1]}{few} have no gradient in {NAMES[side]}: the layer is frozen, or the "
                "graph is cut behind it",
                sources.fix(
                    rehearsals.sides,
                    "let the gradient through: look for stop_gradient, detach() and no_grad() in "
                    "the network's forward and where its parameters are set up",
                    CUT,
                    within=("forward", "__init__", "build"),
                    files=(*rehearsals.model_files, *TRAIN),
                ),
            )
    return None


def _in_full(
    rehearsals: Rehearsals, reports: dict[str, dict], place: Place, asked: Asked, partner: str
) -> str:
    """Run again up to the step that differs, and say what one gradient is of the other."""
    if np.prod(reports["torch"]["shapes"][place.name]) > LARGEST:
        return ""
    names = {"torch": place.name, "paddle": partner}
    full = {side: {str(place.step): [f"gradient {name}"]} for side, name in names.items()}
    again = rehearsals.again(asked, place.step + 1, full)
    left, right = (
        load(again[side], f"{place.step}-gradient-{name}.npy").astype(np.float64)
        for side, name in names.items()
    )
    told = relations.explain(left, right)
    if told is not None:
        return f" (it is {told})"
    if left.shape != right.shape:
        return ""
    apart = np.abs(left - right)
    count = np.count_nonzero(apart > 1e-9 * np.abs(left).max(initial=0))
    worst = np.unravel_index(apart.argmax(), apart.shape)
    index = ", ".join(str(int(place)) for place in worst)
    return (
        f" ({count} of {left.size} elements; most at [{index}]: {left[worst]:.6g} in PyTorch, "
        f"{right[worst]:.6g} in PaddlePaddle)"
    )


# ---- updates ----


def explain_update(
    rehearsals: Rehearsals, reports: dict[str, dict], place: Place, asked: Asked
) -> tuple[str, str]:
    """Run again up to the step that differs, with the tensors of one parameter written in full.

    The first step does not show what the optimizer keeps of the one before: the second does.
    """
    step = min(max(place.step, 1), len(reports["torch"]["rows"]) - 1)
    again = rehearsals.again(
        asked, step + 1, update_faults.wanted(rehearsals, reports, step, place.name)
    )
    partner = dict(rehearsals.pairs())[place.name]
    names = {"torch": place.name, "paddle": partner}
    fault = update_faults.explain(again, names, step)
    all_names = [torch for torch, _ in rehearsals.parameter_pairs(reports)]
    group = describe_group(place.others, all_names)
    cause = fault.cause + (f" ({group})" if group else "")
    line = sources.fix(
        rehearsals.sides,
        fault.fix,
        *fault.patterns,
        within=fault.within,
        files=("optim.py", "train.py"),
    )
    return cause, line


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
