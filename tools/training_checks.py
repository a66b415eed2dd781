"""Compare two runs of training step by step: what differs first, and what that says."""

from dataclasses import replace

import numpy as np

from common import summaries
from common.errors import UserError
from tools import layerwise, training_faults
from tools.places import Place
from tools.probes import NAMES
from tools.rehearsals import Asked, Rehearsals, batches_differ, exact, load
from tools.verdicts import DIVERGED, Verdict

# Relative differences that are no fault, in float64; measured on the trees as they are: 1e-14.
EXACT = 1e-9
# Of outputs and gradients: Paddle keeps constants as float32. That of label smoothing moves
# them by 4e-8, 1 / (h w) of a mean over a window by 7e-9; the mathematics is the same.
CONSTANT = 2.0**-24
UPDATE = 1e-6  # of an update: a constant that one side keeps as float32 moves it by 3e-8
RESTING = 1e-4  # of the largest tensor's scale: what is smaller is measured by this
DRIFT = 1e4  # by which a gradient may differ where the parameters differ by 1: units switch over


def first_difference(rehearsals: Rehearsals, reports: dict[str, dict]) -> Place | None:
    """Return where two records of training first differ, in the order in which a step happens.

    What differs in a step may come from what differed, within bounds, in the ones before it: from
    the second step on, as much more is let pass as the parameters have drifted apart.
    """
    pairs = rehearsals.parameter_pairs(reports)
    buffers = {side: report["buffers"] for side, report in reports.items()}
    reports["torch"]["buffer pairs"] = [
        (torch, paddle)
        for torch, paddle in rehearsals.pairs()
        if torch in buffers["torch"] and paddle in buffers["paddle"]
    ]
    rows = {side: report["rows"] for side, report in reports.items()}
    for step in range(min(len(own) for own in rows.values())):
        torch, paddle = rows["torch"][step], rows["paddle"][step]
        slack = max(EXACT, DRIFT * _drift(step, reports, pairs)) if step else EXACT
        for look in LOOKS:
            place = look(step, torch, paddle, reports, pairs, slack)
            if place is not None:
                return place
    if len(rows["torch"]) != len(rows["paddle"]):
        step = min(len(own) for own in rows.values())
        told = f"{len(rows['torch'])} steps in PyTorch, {len(rows['paddle'])} in PaddlePaddle"
        return Place(step, "data", "", float("inf"), told)
    return None


def _drift(step: int, reports: dict, pairs: list) -> float:
    """Return the largest relative difference of the parameters before a step."""
    own, theirs = (reports[side]["tensors"][step]["before"] for side in ("torch", "paddle"))
    return max(
        (
            summaries.relative(np.array(own[left]), np.array(theirs[right]), _count(reports, left))
            for left, right in pairs
        ),
        default=0.0,
    )


def _count(reports: dict, name: str) -> int:
    return int(np.prod(reports["torch"]["shapes"][name]))


def _data(step, torch, paddle, reports, pairs, slack) -> Place | None:
    if torch["labels"] != paddle["labels"]:
        told = f"labels {torch['labels'][:8]} in PyTorch, {paddle['labels'][:8]} in PaddlePaddle"
        return Place(step, "data", "labels", float("inf"), told)
    if batches_differ(torch, paddle):
        return Place(step, "data", "images", float("inf"), "the pictures of the batch differ")
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
    for names in pairs:
        moved = [
            _apart_from_before(reports[side], step, name)
            for side, name in zip(("torch", "paddle"), names, strict=True)
        ]
        if (moved[0] > EXACT) != (moved[1] > EXACT):
            side = "PyTorch" if moved[0] > EXACT else "PaddlePaddle"
            told = f"in {side} it changes between the steps, outside the optimizer"
            return Place(step, "weights", names[0], max(moved), told)
    return None


def _apart_from_before(report: dict, step: int, name: str) -> float:
    """Return how far a parameter has moved since the step before was over."""
    tensors = report["tensors"]
    after, before = tensors[step - 1]["after"][name], tensors[step]["before"][name]
    count = int(np.prod(report["shapes"][name]))
    return summaries.relative(np.array(after), np.array(before), count)


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
    if found.relative > max(CONSTANT, slack):
        return Place(step, "forward", "logits", found.relative, found.problem or "")
    return None


def _loss(step, torch, paddle, reports, pairs, slack) -> Place | None:
    left, right = torch["loss"], paddle["loss"]
    apart = 0.0 if left == right else abs(left - right) / max(abs(left), 1e-12)
    if not apart <= max(CONSTANT, slack):
        return Place(step, "loss", "", apart, f"{left:.9g} in PyTorch, {right:.9g} in PaddlePaddle")
    return None


def _gradient(step, torch, paddle, reports, pairs, slack) -> Place | None:
    # Backwards: the first gradient that is wrong is that of the last layer.
    return _tensors(step, "gradient", "gradient", reports, pairs[::-1], max(CONSTANT, slack))


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
    found = {}
    for left, right in pairs:
        own, theirs = updates(reports, "torch", step, left), updates(reports, "paddle", step, right)
        size = np.abs(own).max()
        norm = reports["torch"]["tensors"][step]["before"][left][0] / _count(reports, left) ** 0.5
        if max(size, np.abs(theirs).max()) <= 1e-13 * norm:  # below the rounding of the parameter
            continue
        apart = float(np.abs(own - theirs).max() / size) if size else float("inf")
        if apart > max(UPDATE, slack) + 1e-14 * norm / max(size, 1e-300):
            found[left] = apart
    if not found:
        return None
    first = next(iter(found))
    return Place(step, "update", first, found[first], others=tuple(found))


def _running(step, torch, paddle, reports, pairs, slack) -> Place | None:
    """Compare what a step adds to the running statistics of normalization layers."""
    tensors = {side: reports[side]["tensors"][step] for side in ("torch", "paddle")}
    for left, right in reports["torch"]["buffer pairs"]:
        old, moved = [], []
        for side, name in (("torch", left), ("paddle", right)):
            before, after = (tensors[side][kind][name] for kind in ("old buffers", "buffers"))
            old.append(np.array(before[2:]))
            moved.append(np.array(after[2:]) - old[-1])
        if left.endswith("running_mean"):
            bound, told = max(UPDATE, slack) * max(np.abs(moved[0]).max(), 1e-12), "mean"
            apart = np.abs(moved[0] - moved[1]).max()
        else:
            # PyTorch keeps the variance of a sample, c = n / (n - 1) times PaddlePaddle's: what is
            # added is m (c v - old) and m (v - old'), multiples of each other and of the old ones.
            apart = _unexplained(moved[0], [moved[1], *old])
            bound, told = max(UPDATE, slack) * max(np.abs(moved[0]).max(), 1e-12), "variance"
        if apart > bound:
            size = np.abs(moved[0]).max()
            share = float(np.median(moved[1] / moved[0])) if size else float("inf")
            words = f"{share:.6g} times as much of the batch's {told} goes in as in PyTorch"
            return Place(step, "running", left, float(apart / max(size, 1e-300)), words)
    return None


def _unexplained(values: np.ndarray, causes: list[np.ndarray]) -> float:
    """Return the largest of `values` that no sum of multiples of `causes` gives."""
    matrix = np.stack(causes, axis=1)
    shares = np.linalg.lstsq(matrix, values, rcond=None)[0]
    return float(np.abs(values - matrix @ shares).max())


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
    pairs = rehearsals.parameter_pairs(reports)
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


def check_backward(rehearsals: Rehearsals) -> Verdict:
    """Compare all gradients of one batch, in evaluation mode, from the same weights."""
    verdict = Verdict("backward")
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break
        settings = {
            "steps": 1,
            "dtype": dtype,
            "weights": dtype,
            "batches": rehearsals.batches(1),
            "training": False,
        }
        reports = rehearsals.ask("training", **settings)
        setattr(verdict, dtype, largest(rehearsals, reports, ("gradient",)))
        if dtype == "float64":
            place = first_difference(rehearsals, reports)
            looked_at = ("forward", "loss", "gradient", "weights", "mode")
            if place is not None and place.what in looked_at:
                asked = Asked("training", (), settings)
                training_faults.tell(verdict, rehearsals, reports, place, asked)
    return verdict


# Decay and rate are large, so that each shows in a step or two.
STRONG = ["--gpus", "1", "--lr", exact(0.05), "--weight-decay", exact(0.1)]
SETTINGS = {
    "momentum": [*STRONG, "--momentum", exact(0.9)],
    "Nesterov": [*STRONG, "--momentum", exact(0.9), "--nesterov"],
    "no momentum": [*STRONG, "--momentum", "0"],
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
            try:
                reports = rehearsals.ask("optimizer", *more, **settings)
            except UserError as error:
                if name == "momentum" or NAMES["torch"] not in str(error):
                    raise
                # An optimizer that cannot do without momentum, say, is none the worse for it.
                verdict.details.append({"title": f"{name}: not compared", "text": str(error)})
                break
            apart = largest(rehearsals, reports, ("after",))
            setattr(verdict, dtype, max(getattr(verdict, dtype) or 0.0, apart))
            if dtype == "float32":
                continue
            place = first_difference(rehearsals, reports)
            if place is None or place.what in ("forward", "mode", "lr"):
                continue  # the network does not run here, and the rate has a checkpoint of its own
            asked = Asked("optimizer", tuple(more), settings)
            training_faults.tell(verdict, rehearsals, reports, place, asked, f"({name})")
    return verdict


def check_training(
    rehearsals: Rehearsals, steps: int, drawn: bool = True
) -> tuple[Verdict, dict[str, dict]]:
    """Compare `steps` steps of training with the same units dropped, on drawn or real pictures.

    Returns the verdict, and the records by dtype.
    """
    verdict, records = Verdict("training"), {}
    options = ["--epochs", str(steps + 1), "--schedule", "step", "--warmup-epochs", "0"]
    batches = rehearsals.batches(steps) if drawn else rehearsals.shared_batches(steps, *options)
    for dtype in ("float64", "float32"):
        if verdict.verdict == DIVERGED:
            break  # the rounding of two different trainings says nothing
        settings = {"steps": steps, "dtype": dtype, "batches": batches, "weights": dtype}
        reports = records[dtype] = rehearsals.ask("training", *options, **settings)
        setattr(verdict, dtype, loss_difference(reports))
        place = first_difference(rehearsals, reports) if dtype == "float64" else None
        if place is not None:
            asked = Asked("training", tuple(options), settings)
            training_faults.tell(verdict, rehearsals, reports, place, asked)
    return verdict, records
