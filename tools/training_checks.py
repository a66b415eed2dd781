"""Compare two runs of training step by step: what differs first, and what that says."""

from dataclasses import replace

import numpy as np

from common import summaries
from tools import forward, layerwise, update_faults
from tools.places import Place
from tools.probes import NAMES
from tools.rehearsals import Rehearsals, load
from tools.verdicts import DIVERGED, Verdict

# Relative differences that are no fault, in float64. Paddle keeps momentum and decay as float32,
# which moves an update by 3e-8 of itself at each step; what is not yet updated is exact.
EXACT = 1e-9
UPDATE = 1e-6
RESTING = 1e-4  # of the largest tensor's scale: what is smaller is measured by this
LATER = 1e-5  # after some steps, what the first have moved
PICTURES = 1e-6  # from picture files: the two normalize them alike within one rounding of float32


def parameter_pairs(rehearsals: Rehearsals, reports: dict) -> list[tuple[str, str]]:
    """Return partners among the parameters, torch's name first, in the order of the network."""
    shapes = {side: report["shapes"] for side, report in reports.items()}
    return [
        (torch, paddle)
        for torch, paddle in rehearsals.pairs()
        if torch in shapes["torch"] and paddle in shapes["paddle"]
    ]


def first_difference(
    rehearsals: Rehearsals, reports: dict[str, dict], exact: float = EXACT
) -> Place | None:
    """Return where two records of training first differ, in the order in which a step happens."""
    pairs = parameter_pairs(rehearsals, reports)
    buffers = {side: report["buffers"] for side, report in reports.items()}
    reports["torch"]["buffer pairs"] = [
        (torch, paddle)
        for torch, paddle in rehearsals.pairs()
        if torch in buffers["torch"] and paddle in buffers["paddle"]
    ]
    rows = {side: report["rows"] for side, report in reports.items()}
    for step in range(min(len(own) for own in rows.values())):
        torch, paddle = rows["torch"][step], rows["paddle"][step]
        slack = exact if step == 0 else LATER
        for look in LOOKS:
            place = look(step, torch, paddle, reports, pairs, slack)
            if place is not None:
                return place
    if len(rows["torch"]) != len(rows["paddle"]):
        step = min(len(own) for own in rows.values())
        told = f"{len(rows['torch'])} steps in PyTorch, {len(rows['paddle'])} in PaddlePaddle"
        return Place(step, "data", "", float("inf"), told)
    return None


def _count(reports: dict, name: str) -> int:
    return int(np.prod(reports["torch"]["shapes"][name]))


def _data(step, torch, paddle, reports, pairs, slack) -> Place | None:
    if torch["labels"] != paddle["labels"]:
        told = f"labels {torch['labels'][:8]} in PyTorch, {paddle['labels'][:8]} in PaddlePaddle"
        return Place(step, "data", "labels", float("inf"), told)
    left, right = np.array(torch["images"]), np.array(paddle["images"])
    apart = summaries.relative(left, right, 1) if left.any() else 0.0
    if apart > 1e-5:  # pictures are float32
        return Place(step, "data", "images", apart, "the pictures of the batch differ")
    return None


def _mode(step, torch, paddle, reports, pairs, slack) -> Place | None:
    if torch["mode"] == paddle["mode"]:
        return None
    told = f"{torch['mode']} mode in PyTorch, {paddle['mode']} mode in PaddlePaddle"
    return Place(step, "mode", "", float("inf"), told)


def _weights(step, torch, paddle, reports, pairs, slack) -> Place | None:
    if step == 0:
        loaded = _tensors(step, "start", "weights", reports, pairs, slack)
        if loaded is not None:
            return loaded
    place = _tensors(step, "before", "weights", reports, pairs, slack)
    return None if place is None else replace(place, told="before the optimizer's step")


def _tensors(step, kind, what, reports, pairs, slack) -> Place | None:
    """Compare one kind of tensor of all parameters; return the first that differs."""
    own, theirs = (reports[side]["tensors"][step][kind] for side in ("torch", "paddle"))
    # The gradient of a bias before a normalization is nothing but rounding: it has no scale.
    sizes = [own[left][0] / _count(reports, left) ** 0.5 for left, _ in pairs if own.get(left)]
    floor = max(RESTING * max(sizes, default=0.0), 1e-300)
    for left, right in pairs:
        if own.get(left) is None and theirs.get(right) is None:
            continue
        if own.get(left) is None or theirs.get(right) is None:
            none = "PyTorch" if own.get(left) is None else "PaddlePaddle"
            return Place(step, what, left, float("inf"), f"{left} has none in {none}")
        count = _count(reports, left)
        apart = summaries.relative(np.array(own[left]), np.array(theirs[right]), count)
        if apart * min(1.0, own[left][0] / count**0.5 / floor) > slack:
            return Place(step, what, left, apart)
    return None


def _forward(step, torch, paddle, reports, pairs, slack) -> Place | None:
    left, right = (load(reports[side], f"logits-{step}.npy") for side in ("torch", "paddle"))
    found = layerwise.compare(left, right)
    if found.relative > slack:
        return Place(step, "forward", "logits", found.relative, found.problem or "")
    return None


def _loss(step, torch, paddle, reports, pairs, slack) -> Place | None:
    left, right = torch["loss"], paddle["loss"]
    apart = 0.0 if left == right else abs(left - right) / max(abs(left), 1e-12)
    if not apart <= slack:
        return Place(step, "loss", "", apart, f"{left:.9g} in PyTorch, {right:.9g} in PaddlePaddle")
    return None


def _gradient(step, torch, paddle, reports, pairs, slack) -> Place | None:
    # Backwards: the first gradient that is wrong is that of the last layer.
    return _tensors(step, "gradient", "gradient", reports, pairs[::-1], slack)


def _rate(step, torch, paddle, reports, pairs, slack) -> Place | None:
    left, right = torch["lr"], paddle["lr"]
    if abs(left - right) <= EXACT * max(abs(left), abs(right)):
        return None
    told = f"learning rate {left:.9g} in PyTorch, {right:.9g} in PaddlePaddle"
    return Place(step, "lr", "", abs(left - right) / max(abs(left), 1e-30), told)


def updates(reports: dict, side: str, step: int, name: str) -> np.ndarray:
    """Return the random projections of what a step adds to a parameter, [PROJECTIONS]."""
    noted = reports[side]["tensors"][step]
    return np.array(noted["after"][name][2:]) - np.array(noted["before"][name][2:])


def _update(step, torch, paddle, reports, pairs, slack) -> Place | None:
    for left, right in pairs:
        own, theirs = updates(reports, "torch", step, left), updates(reports, "paddle", step, right)
        size = np.abs(own).max()
        norm = reports["torch"]["tensors"][step]["before"][left][0] / _count(reports, left) ** 0.5
        if max(size, np.abs(theirs).max()) <= 1e-13 * norm:  # below the rounding of the parameter
            continue
        apart = float(np.abs(own - theirs).max() / size) if size else float("inf")
        if apart > max(UPDATE, slack) + 1e-14 * norm / max(size, 1e-300):
            return Place(step, "update", left, apart)
    return None


def _running(step, torch, paddle, reports, pairs, slack) -> Place | None:
    """Compare what a step adds to the running means of normalization layers.

    Not the variances: PyTorch keeps that of a sample and PaddlePaddle that of the batch itself.
    """
    own, theirs = (reports[side]["tensors"][step] for side in ("torch", "paddle"))
    for left, right in reports["torch"]["buffer pairs"]:
        if not left.endswith("running_mean"):
            continue
        moved = [
            np.array(noted["buffers"][name][2:]) - np.array(noted["old buffers"][name][2:])
            for noted, name in ((own, left), (theirs, right))
        ]
        size = np.abs(moved[0]).max()
        apart = np.abs(moved[0] - moved[1]).max()
        if apart > max(UPDATE, slack) * max(size, 1e-12):
            share = float(np.median(moved[1] / moved[0])) if size else float("inf")
            told = f"{share:.6g} times as much of the batch's mean goes in as in PyTorch"
            return Place(step, "running", left, float(apart / max(size, 1e-300)), told)
    return None


def _state(step, torch, paddle, reports, pairs, slack) -> Place | None:
    own, theirs = (reports[side]["tensors"][step]["state"] for side in ("torch", "paddle"))
    for left, right in pairs:
        roles = {key.partition(" ")[2] for key in own if key.startswith(left + " ")}
        others = {key.partition(" ")[2] for key in theirs if key.startswith(right + " ")}
        for role in sorted(roles & others):  # without momentum, torch keeps no velocity of 0
            values = np.array(own[f"{left} {role}"]), np.array(theirs[f"{right} {role}"])
            apart = summaries.relative(*values, _count(reports, left))
            if apart > max(UPDATE, slack):
                return Place(step, "state", left, apart, f"the optimizer's {role}")
    return None


LOOKS = (*(_data, _mode, _weights, _forward, _loss, _gradient, _rate, _update, _state, _running),)


def largest(rehearsals: Rehearsals, reports: dict[str, dict], kinds: tuple[str, ...]) -> float:
    """Return the largest relative difference of any tensor of these kinds, over all steps."""
    pairs = parameter_pairs(rehearsals, reports)
    most = 0.0
    for step in range(min(len(report["rows"]) for report in reports.values())):
        for kind in kinds:
            own, theirs = (reports[side]["tensors"][step][kind] for side in ("torch", "paddle"))
            for left, right in pairs:
                if own.get(left) is None or theirs.get(right) is None:
                    continue
                values = np.array(own[left]), np.array(theirs[right])
                most = max(most, summaries.relative(*values, _count(reports, left)))
    return most


def losses(reports: dict[str, dict]) -> dict[str, list[float]]:
    """Return the loss of each step, by side."""
    return {side: [row["loss"] for row in report["rows"]] for side, report in reports.items()}


def loss_difference(reports: dict[str, dict]) -> float:
    """Return the largest relative difference of the losses."""
    own, theirs = (np.array(losses(reports)[side]) for side in ("torch", "paddle"))
    count = min(len(own), len(theirs))
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(own[:count] - theirs[:count]) / np.maximum(np.abs(own[:count]), 1e-12)
    return float(np.nanmax(apart, initial=0.0))


def explain_gradient(reports: dict[str, dict], pairs: list, place: Place) -> tuple[str, str]:
    """Return what a gradient that differs says, and what to change."""
    step = place.step
    none = {
        side: [
            pair[n]
            for pair in pairs
            if reports[side]["tensors"][step]["gradient"].get(pair[n]) is None
        ]
        for n, side in enumerate(("torch", "paddle"))
    }
    for side, other in (("paddle", "torch"), ("torch", "paddle")):
        if len(none[side]) > len(none[other]):
            names = none[side]
            few = f" and {len(names) - 1} more" if names[1:] else ""
            return (
                f"{names[-1]}{few} have no gradient in {NAMES[side]}: the layer is frozen, or the "
                "graph is cut behind it",
                "look for stop_gradient, detach() and no_grad() in the network's forward and where "
                "its parameters are set up",
            )
    partner = dict(pairs)[place.name]
    own = np.array(reports["torch"]["tensors"][step]["gradient"][place.name])
    theirs = np.array(reports["paddle"]["tensors"][step]["gradient"][partner])
    if not theirs[:2].any():
        return (
            f"the gradient of {place.name} is 0 in PaddlePaddle: the graph is cut behind it",
            "look for stop_gradient and detach() in the network's forward",
        )
    factor = theirs[2] / own[2] if own[2] else np.nan
    if np.allclose(theirs[2:], factor * own[2:], rtol=1e-6, atol=0):
        return (
            f"the gradient of {place.name} is {factor:.6g} times PyTorch's, and so is what comes "
            "after it (backwards)",
            "look for a factor in the loss, a summed loss, gradient clipping or an accumulation",
        )
    layer = place.name.rpartition(".")[0]
    return (
        f"the gradient of {place.name} differs by {place.relative:.3g} of itself, and none that "
        "is computed before it (backwards) does",
        f"compare what {layer} and the layers right after it do in the backward pass",
    )


def explain_update(
    rehearsals: Rehearsals, part: str, more: list[str], settings: dict, reports: dict, place: Place
) -> tuple[str, str]:
    """Run again up to the step that differs, with the tensors of one parameter written in full.

    The first step does not show what the optimizer keeps of the one before: the second does.
    """
    step = min(max(place.step, 1), len(reports["torch"]["rows"]) - 1)
    full = update_faults.wanted(rehearsals, reports, step, place.name)
    again = rehearsals.ask(part, *more, full=full, **{**settings, "steps": step + 1})
    partner = dict(rehearsals.pairs())[place.name]
    rules = {
        "torch": update_faults.fit(again["torch"], step, place.name),
        "paddle": update_faults.fit(again["paddle"], step, partner),
    }
    return update_faults.explain(rules, place.name)


def name_layer(rehearsals: Rehearsals) -> tuple[str, str, str]:
    """Return the layer at which the forward passes differ, the cause and the fix."""
    size = rehearsals.image_size
    inputs = forward.Inputs(None, "float32", 2, (size, 0), None, rehearsals.seed)
    folder = rehearsals.folder / f"forward-{rehearsals.asked}"
    folder.mkdir()
    found = forward.compare(rehearsals.sides, folder, inputs, weights=rehearsals.weights)
    if not found.causes:
        return "logits", "the networks by themselves are the same", "look at train_step in train.py"
    cause = found.causes[0]
    return cause.where, cause.cause, cause.fix


def check_backward(rehearsals: Rehearsals) -> Verdict:
    """Compare all gradients of one batch, in evaluation mode, from the same weights."""
    verdict = Verdict("backward")
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break
        settings = {
            "steps": 1,
            "dtype": dtype,
            "batches": rehearsals.batches(1),
            "training": False,
        }
        reports = rehearsals.ask("training", weights=dtype, **settings)
        setattr(verdict, dtype, largest(rehearsals, reports, ("gradient",)))
        if dtype == "float64":
            place = first_difference(rehearsals, reports)
            if place is not None and place.what in (
                "forward",
                "loss",
                "gradient",
                "weights",
                "mode",
            ):
                _tell(verdict, rehearsals, reports, place)
    return verdict


def _tell(verdict: Verdict, rehearsals: Rehearsals, reports: dict, place: Place) -> None:
    """Note a difference that is none of the optimizer's."""
    pairs = parameter_pairs(rehearsals, reports)
    step = f"step {place.step + 1}"
    if place.what == "gradient":
        cause, fix = explain_gradient(reports, pairs, place)
        verdict.diverge(f"{place.name}, {step}, backward", cause, fix)
    elif place.what == "forward":
        cause = f"the logits differ by {place.relative:.3g} of the largest, from the same weights"
        cause += f" ({place.told})" if place.told else ""
        where, told, fix = name_layer(rehearsals)
        verdict.diverge(f"{where}, {step}, forward", f"{told}; {cause}", fix)
    elif place.what == "loss":
        cause = f"the loss differs from the same logits: {place.told}"
        verdict.diverge(f"loss, {step}", cause, "tools/align.py --only loss names the loss")
    elif place.what == "weights":
        cause = (
            f"{place.name} is not the same before the first step: {place.told or 'other numbers'}"
        )
        if place.step:
            cause = f"{place.name} changes between the steps, outside the optimizer"
        verdict.diverge(f"{place.name}, {step}", cause, "look at how the weights are loaded")
    elif place.what == "running":
        layer = place.name.rpartition(".")[0]
        cause = f"the running mean of {layer}: {place.told} (momentum)"
        fix = "Paddle's momentum is 1 minus PyTorch's: 0.9 where PyTorch has 0.1"
        verdict.diverge(f"{layer}, {step}", cause, fix)
    elif place.what == "lr":
        fix = "tools/align.py --only lr tells the schedules apart"
        verdict.diverge(f"learning rate, {step}", place.told, fix)
    elif place.what == "mode":
        verdict.diverge(step, place.told, "call model.train() before training, and eval() after")
    else:
        verdict.diverge(f"{place.name or 'batch'}, {step}", f"data: {place.told}", DATA_FIX)


DATA_FIX = "tools/compare_data.py names the sample and the cause"
STRONG = ["--lr", "0.05", "--gpus", "1", "--momentum", "0.9", "--weight-decay", "0.1"]
SETTINGS = {
    "momentum": STRONG,
    "Nesterov": [*STRONG, "--nesterov"],
    "no momentum": ["--lr", "0.05", "--gpus", "1", "--momentum", "0", "--weight-decay", "0.1"],
}
OPTIMIZER_STEPS = 2  # the second one shows what the optimizer keeps of the first


def check_optimizer(rehearsals: Rehearsals) -> Verdict:
    """Compare steps from given gradients, every parameter, with a decay large enough to see."""
    verdict = Verdict("optimizer")
    for name, options in SETTINGS.items():
        if verdict.verdict == DIVERGED:
            break
        more = [*options, "--schedule", "step", "--epochs", "100", "--warmup-epochs", "0"]
        for dtype in ("float64", "float32") if name == "momentum" else ("float64",):
            settings = {"steps": OPTIMIZER_STEPS, "dtype": dtype, "weights": dtype}
            reports = rehearsals.ask("optimizer", *more, **settings)
            apart = largest(rehearsals, reports, ("after",))
            setattr(verdict, dtype, max(getattr(verdict, dtype) or 0.0, apart))
            if dtype == "float32":
                continue
            place = first_difference(rehearsals, reports)
            if place is None or place.what in ("forward", "mode"):
                continue  # the network does not run here
            if place.what in ("update", "state"):
                cause, fix = explain_update(rehearsals, "optimizer", more, settings, reports, place)
                where = f"{place.name}, step {place.step + 1} ({name})"
                verdict.diverge(where, cause, fix)
            elif place.what == "gradient":
                cause, fix = explain_gradient(reports, parameter_pairs(rehearsals, reports), place)
                verdict.diverge(f"{place.name} ({name})", cause, fix)
            elif place.what != "lr":  # the rate has a checkpoint of its own
                _tell(verdict, rehearsals, reports, place)
    return verdict


def check_training(
    rehearsals: Rehearsals, steps: int, drawn: bool = True, more: tuple[str, ...] = ()
) -> tuple[Verdict, dict[str, dict]]:
    """Compare `steps` steps of training with the same units dropped, on drawn or real pictures.

    Returns the verdict, and the records by dtype.
    """
    verdict, records = Verdict("training"), {}
    batches = rehearsals.batches(steps) if drawn else None
    options = ["--epochs", str(steps + 1), "--schedule", "step", "--warmup-epochs", "0", *more]
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break  # the rounding of two different trainings says nothing
        settings = {"steps": steps, "dtype": dtype, "batches": batches, "weights": dtype}
        reports = records[dtype] = rehearsals.ask("training", *options, **settings)
        setattr(verdict, dtype, loss_difference(reports))
        if dtype == "float32":
            continue
        place = first_difference(rehearsals, reports, EXACT if drawn else PICTURES)
        if place is None:
            continue
        if place.what in ("update", "state"):
            cause, fix = explain_update(rehearsals, "training", options, settings, reports, place)
            verdict.diverge(f"{place.name}, step {place.step + 1}, update", cause, fix)
        else:
            _tell(verdict, rehearsals, reports, place)
    return verdict, records
