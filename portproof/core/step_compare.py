"""Where two recorded trainings first differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from portproof.core import tensor_compare
from portproof.core.findings import Cause
from portproof.numeric import fingerprints
from portproof.system.errors import UserError
from portproof.worker.client import Side

# Relative differences that are no fault, in float64; measured on two aligned ports: 1e-14.
EXACT = 1e-9
# Of outputs and gradients: Paddle keeps constants as float32. That of label smoothing moves
# them by 4e-8, 1 / (h w) of a mean over a window by 7e-9; the mathematics is the same.
CONSTANT = 2.0**-24
UPDATE = 1e-6  # of an update: a constant that one side keeps as float32 moves it by 3e-8
SAME_IMAGES = 1e-5  # relative: both normalize alike, within one rounding of float32
RESTING = 1e-4  # of the largest tensor's scale: what is smaller is measured by this
DRIFT = 1e4  # by which a gradient may differ where the parameters differ by 1: units switch over


Reports = dict[str, dict[str, Any]]  # by side: what a worker has recorded
Pairs = Sequence[tuple[str, str]]  # names of tensors that are partners, torch's first


@dataclass(frozen=True)
class StepDifference:
    """The first difference between two recorded trainings."""

    step: int
    what: str  # data, mode, weights, forward, loss, gradient, lr, state, update, running
    name: str  # a parameter, or empty
    relative: float
    message: str = ""
    others: tuple[str, ...] = ()  # all parameters in which this differs, `name` among them


@dataclass(frozen=True)
class Evidence:
    """What a difference between two trainings is diagnosed from."""

    sides: dict[str, Side]
    reports: Reports
    pairs: Pairs  # parameters that are partners
    difference: StepDifference
    again: Callable[[int, dict], Reports]  # records so many steps, with tensors in full, by side
    name_layer: Callable[[], Cause | None]  # the layer at which the forward passes differ
    files: dict[str, list] = field(default_factory=dict)  # of the networks' classes, by side


def first_difference(keys: Pairs, reports: Reports) -> StepDifference | None:
    """Return where two records of training first differ, in the order in which a step happens.

    What differs in a step may come from what differed, within bounds, in the ones before it: from
    the second step on, as much more is let pass as the parameters have drifted apart.
    `keys` are the tensors of both networks that are partners.
    """
    pairs = parameter_pairs(keys, reports)
    buffers = {side: report["buffers"] for side, report in reports.items()}
    reports["torch"]["buffer pairs"] = [
        (torch, paddle)
        for torch, paddle in keys
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
        return StepDifference(step, "data", "", float("inf"), told)
    return None


def _drift(step: int, reports: dict, pairs: list) -> float:
    """Return the largest relative difference of the parameters before a step."""
    own, theirs = (reports[side]["tensors"][step]["before"] for side in ("torch", "paddle"))
    return max(
        (
            fingerprints.relative(
                np.array(own[left]), np.array(theirs[right]), _count(reports, left)
            )
            for left, right in pairs
        ),
        default=0.0,
    )


def _count(reports: dict, name: str) -> int:
    return int(np.prod(reports["torch"]["shapes"][name]))


def _data(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    if torch["labels"] != paddle["labels"]:
        told = f"labels {torch['labels'][:8]} in PyTorch, {paddle['labels'][:8]} in PaddlePaddle"
        return StepDifference(step, "data", "labels", float("inf"), told)
    if batches_differ(torch, paddle):
        return StepDifference(
            step, "data", "images", float("inf"), "the pictures of the batch differ"
        )
    return None


def _mode(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    if torch["mode"] == paddle["mode"]:
        return None
    told = f"{torch['mode']} mode in PyTorch, {paddle['mode']} mode in PaddlePaddle"
    return StepDifference(step, "mode", "", float("inf"), told)


def _weights(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    if step == 0:
        loaded = _tensors(step, "start", "weights", reports, pairs, slack)
        if loaded is not None:
            return loaded
        place = _tensors(step, "before", "weights", reports, pairs, slack)
        return None if place is None else replace(place, message="before the optimizer's step")
    for names in pairs:
        moved = [
            _apart_from_before(reports[side], step, name)
            for side, name in zip(("torch", "paddle"), names, strict=True)
        ]
        if (moved[0] > EXACT) != (moved[1] > EXACT):
            side = "PyTorch" if moved[0] > EXACT else "PaddlePaddle"
            told = f"in {side} it changes between the steps, outside the optimizer"
            return StepDifference(step, "weights", names[0], max(moved), told)
    return None


def _apart_from_before(report: dict, step: int, name: str) -> float:
    """Return how far a parameter has moved since the step before was over."""
    tensors = report["tensors"]
    after, before = tensors[step - 1]["after"][name], tensors[step]["before"][name]
    count = int(np.prod(report["shapes"][name]))
    return fingerprints.relative(np.array(after), np.array(before), count)


def _tensors(step, kind, what, reports, pairs, slack) -> StepDifference | None:
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
            return StepDifference(step, what, left, float("inf"), f"{left} has none in {none}")
        count = _count(reports, left)
        apart = fingerprints.relative(np.array(own[left]), np.array(theirs[right]), count)
        if apart * min(1.0, own[left][0] / count**0.5 / floor) > slack:
            return StepDifference(step, what, left, apart)
    return None


def _forward(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    left, right = (load(reports[side], f"logits-{step}.npy") for side in ("torch", "paddle"))
    found = tensor_compare.compare(left, right)
    if found.relative > max(CONSTANT, slack):
        return StepDifference(step, "forward", "logits", found.relative, found.problem or "")
    return None


def _loss(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    left, right = torch["loss"], paddle["loss"]
    apart = 0.0 if left == right else abs(left - right) / max(abs(left), 1e-12)
    if not apart <= max(CONSTANT, slack):
        return StepDifference(
            step, "loss", "", apart, f"{left:.9g} in PyTorch, {right:.9g} in PaddlePaddle"
        )
    return None


def _gradient(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    # Backwards: the first gradient that is wrong is that of the last layer.
    return _tensors(step, "gradient", "gradient", reports, pairs[::-1], max(CONSTANT, slack))


def _rate(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    left, right = torch["lr"], paddle["lr"]
    if abs(left - right) <= EXACT * max(abs(left), abs(right)):
        return None
    told = f"learning rate {left:.9g} in PyTorch, {right:.9g} in PaddlePaddle"
    return StepDifference(step, "lr", "", abs(left - right) / max(abs(left), 1e-30), told)


def updates(reports: dict, side: str, step: int, name: str) -> np.ndarray:
    """Return the random projections of what a step adds to a parameter, [PROJECTIONS]."""
    noted = reports[side]["tensors"][step]
    return np.array(noted["after"][name][2:]) - np.array(noted["before"][name][2:])


def _update(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
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
    return StepDifference(step, "update", first, found[first], others=tuple(found))


def _running(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
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
            return StepDifference(step, "running", left, float(apart / max(size, 1e-300)), words)
    return None


def _unexplained(values: np.ndarray, causes: list[np.ndarray]) -> float:
    """Return the largest of `values` that no sum of multiples of `causes` gives."""
    matrix = np.stack(causes, axis=1)
    shares = np.linalg.lstsq(matrix, values, rcond=None)[0]
    return float(np.abs(values - matrix @ shares).max())


def _state(step, torch, paddle, reports, pairs, slack) -> StepDifference | None:
    own, theirs = (reports[side]["tensors"][step]["state"] for side in ("torch", "paddle"))
    for left, right in pairs:
        roles = {key.partition(" ")[2] for key in own if key.startswith(left + " ")}
        others = {key.partition(" ")[2] for key in theirs if key.startswith(right + " ")}
        for role in sorted(roles & others):  # without momentum, torch keeps no velocity of 0
            values = np.array(own[f"{left} {role}"]), np.array(theirs[f"{right} {role}"])
            apart = fingerprints.relative(*values, _count(reports, left))
            if apart > max(UPDATE, slack):
                return StepDifference(step, "state", left, apart, f"the optimizer's {role}")
    return None


LOOKS = (*(_data, _mode, _weights, _forward, _loss, _gradient, _rate, _update, _state, _running),)


def largest(keys: Pairs, reports: Reports, kinds: tuple[str, ...]) -> float:
    """Return the largest relative difference of any tensor of these kinds, over all steps."""
    pairs = parameter_pairs(keys, reports)
    most = 0.0
    for step in range(min(len(report["rows"]) for report in reports.values())):
        for kind in kinds:
            own, theirs = (reports[side]["tensors"][step][kind] for side in ("torch", "paddle"))
            for left, right in pairs:
                if own.get(left) is None or theirs.get(right) is None:
                    continue
                values = np.array(own[left]), np.array(theirs[right])
                most = max(most, fingerprints.relative(*values, _count(reports, left)))
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


def parameter_pairs(keys: Pairs, reports: Reports) -> list[tuple[str, str]]:
    """Return partners among the parameters of two reports, in the order of the network."""
    shapes = {side: report["shapes"] for side, report in reports.items()}
    return [
        (torch, paddle)
        for torch, paddle in keys
        if torch in shapes["torch"] and paddle in shapes["paddle"]
    ]


def batches_differ(torch: dict[str, Any], paddle: dict[str, Any]) -> bool:
    """Say whether two batches hold other labels, or other pictures than float32 rounds them to."""
    if torch["labels"] != paddle["labels"]:
        return True
    left, right = np.array(torch["images"]), np.array(paddle["images"])
    return bool(left.any()) and fingerprints.relative(left, right, 1) > SAME_IMAGES


def load(report: dict[str, Any], file: str) -> np.ndarray:
    """Return an array that a side wrote."""
    try:
        return np.load(Path(report["folder"]) / file)
    except OSError as error:
        raise UserError(f"{file} was not written by the worker ({error.strerror})") from error
