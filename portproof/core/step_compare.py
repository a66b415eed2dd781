"""Where two recorded trainings first differ."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from portproof.core.findings import Difference, Report
from portproof.core.tensor_compare import CONSTANT, compare
from portproof.numeric import fingerprints
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS

# Relative differences that are no fault, in float64; measured on two aligned ports: 1e-14.
EXACT = 1e-9
UPDATE = 1e-6  # of an update: a constant that one side keeps as float32 moves it by 3e-8
SAME_IMAGES = 1e-5  # relative: both normalize alike, within one rounding of float32
RESTING = 1e-4  # of the largest tensor's scale: what is smaller is measured by this
DRIFT = 1e4  # by which a gradient may differ where the parameters differ by 1: units switch over

Reports = dict[str, Report]  # by side: what a worker has recorded
Tensors = dict[str, list[float] | None]  # summaries by name; None: there is no such tensor
Pairs = Sequence[tuple[str, str]]  # names of tensors that are partners, torch's first


@dataclass(frozen=True)
class Step:
    """One step of two recorded trainings."""

    number: int
    reports: Reports
    pairs: Pairs  # of parameters
    buffers: Pairs  # of running statistics
    slack: float = EXACT  # relative difference that may come from the steps before

    @property
    def rows(self) -> list[Report]:
        """What both sides noted of the step, PyTorch's first."""
        return [self.reports[side]["rows"][self.number] for side in FRAMEWORKS]

    def tensors(self, kind: str) -> list[Tensors]:
        """Return the summaries of one kind of tensor by name, PyTorch's first."""
        return [self.reports[side]["tensors"][self.number][kind] for side in FRAMEWORKS]

    def moved(self, names: tuple[str, str], before: str, after: str) -> list[np.ndarray]:
        """Return the random projections of what the step adds to a tensor, [PROJECTIONS] each."""
        both = zip(names, self.tensors(before), self.tensors(after), strict=True)
        return [np.array(new[name][2:]) - np.array(old[name][2:]) for name, old, new in both]

    def count(self, name: str) -> int:
        """Return how many elements a parameter of PyTorch's side has."""
        return int(np.prod(self.reports["torch"]["shapes"][name]))

    def relative(self, kind: str) -> dict[str, float]:
        """Return the relative differences of one kind of tensor, where both sides have one."""
        torch, paddle = self.tensors(kind)
        partners = {left: paddle.get(right) for left, right in self.pairs}
        return relative(torch, partners, self.reports["torch"]["shapes"])


def relative(left: Tensors, right: Tensors, shapes: dict[str, list[int]]) -> dict[str, float]:
    """Return the relative differences of tensors by name, where both sides have one."""
    differences = {}
    for name, other in right.items():
        if left.get(name) is not None and other is not None:
            count = int(np.prod(shapes[name.partition(" ")[0]]))  # of a state: its parameter's
            differences[name] = fingerprints.relative(left[name], other, count)
    return differences


def steps(keys: Pairs, reports: Reports) -> Iterator[Step]:
    """Yield the steps that both sides have; `keys` are the tensors of both that are partners."""
    pairs, buffers = (parameter_pairs(keys, reports, entry) for entry in ("shapes", "buffers"))
    for number in range(min(len(report["rows"]) for report in reports.values())):
        yield Step(number, reports, pairs, buffers)


def first_difference(keys: Pairs, reports: Reports) -> Difference | None:
    """Return where two records of training first differ, in the order in which a step happens.

    From the second step on, as much more is let pass as the parameters have drifted apart. `keys`
    are the tensors of both networks that are partners.
    """
    for step in steps(keys, reports):
        if step.number:
            drift = max(step.relative("before").values(), default=0.0)
            step = replace(step, slack=max(EXACT, DRIFT * drift))
        for what, look in LOOKS.items():
            if difference := look(step):
                return replace(difference, step=step.number, what=what)
    counts = [len(reports[side]["rows"]) for side in FRAMEWORKS]
    if counts[0] != counts[1]:
        problem = f"{counts[0]} steps in PyTorch, {counts[1]} in PaddlePaddle"
        return Difference(problem=problem, step=min(counts), what="data")
    return None


def _data(step: Step) -> Difference | None:
    torch, paddle = (row["labels"] for row in step.rows)
    if torch != paddle:
        problem = f"labels {torch[:8]} in PyTorch, {paddle[:8]} in PaddlePaddle"
        return Difference(problem=problem, name="labels")
    images = Difference(problem="the images of the batch differ", name="images")
    return images if batches_differ(*step.rows) else None


def _mode(step: Step) -> Difference | None:
    torch, paddle = (row["mode"] for row in step.rows)
    problem = f"{torch} mode in PyTorch, {paddle} mode in PaddlePaddle"
    return None if torch == paddle else Difference(problem=problem)


def _weights(step: Step) -> Difference | None:
    if step.number == 0:
        before = _tensors(step, "before")
        before = before and replace(before, problem="before the optimizer's step")
        return _tensors(step, "start") or before
    earlier = replace(step, number=step.number - 1)
    for names in step.pairs:
        both = zip(names, earlier.tensors("after"), step.tensors("before"), strict=True)
        count = step.count(names[0])
        moved = [fingerprints.relative(old[name], new[name], count) for name, old, new in both]
        if (moved[0] > EXACT) != (moved[1] > EXACT):
            side = "PyTorch" if moved[0] > EXACT else "PaddlePaddle"
            problem = f"in {side} it changes between the steps, outside the optimizer"
            return Difference(relative=max(moved), problem=problem, name=names[0])
    return None


def _tensors(step: Step, kind: str, slack: float = 0.0) -> Difference | None:
    """Compare one kind of tensor of all parameters; return the first that differs."""
    torch, paddle = step.tensors(kind)
    relative = step.relative(kind)
    # The gradient of a bias before a normalization is nothing but rounding: it has no scale.
    sizes = {
        left: torch[left][0] / step.count(left) ** 0.5 for left, _ in step.pairs if torch.get(left)
    }
    floor = max(RESTING * max(sizes.values(), default=0.0), 1e-300)
    for left, right in step.pairs:
        apart = relative.get(left, 0.0)
        if apart and apart * min(1.0, sizes[left] / floor) > max(step.slack, slack):
            return Difference(relative=apart, name=left)
        if (torch.get(left) is None) != (paddle.get(right) is None):
            side = "PyTorch" if torch.get(left) is None else "PaddlePaddle"
            return Difference(problem=f"{left} has none in {side}", name=left)
    return None


def _forward(step: Step) -> Difference | None:
    file = f"logits-{step.number}.npy"
    difference = compare(*(load(step.reports[side], file) for side in FRAMEWORKS))
    differs = difference.relative > max(CONSTANT, step.slack)
    return replace(difference, name="logits") if differs else None


def _number(step: Step, what: str, limit: float, name: str = "") -> Difference | None:
    left, right = (row[what] for row in step.rows)
    apart = 0.0 if left == right else abs(left - right) / max(abs(left), 1e-12)
    if apart <= limit:
        return None
    problem = f"{name}{left:.9g} in PyTorch, {right:.9g} in PaddlePaddle"
    return Difference(relative=apart, problem=problem)


def _update(step: Step) -> Difference | None:
    differ = {}
    before = step.tensors("before")[0]
    for names in step.pairs:
        left = names[0]
        torch, paddle = step.moved(names, "before", "after")
        size, norm = np.abs(torch).max(), before[left][0] / step.count(left) ** 0.5
        if max(size, np.abs(paddle).max()) <= 1e-13 * norm:  # below the rounding of the parameter
            continue
        apart = float(np.abs(torch - paddle).max() / size) if size else float("inf")
        if apart > max(UPDATE, step.slack) + 1e-14 * norm / max(size, 1e-300):
            differ[left] = apart
    for first, apart in differ.items():
        return Difference(relative=apart, name=first, others=tuple(differ))
    return None


def _running(step: Step) -> Difference | None:
    """Compare what a step adds to the running statistics of normalization layers."""
    for names in step.buffers:
        torch, paddle = step.moved(names, "old buffers", "buffers")
        size = np.abs(torch).max()
        statistic, apart = "mean", np.abs(torch - paddle).max()
        if not names[0].endswith("running_mean"):
            # PyTorch keeps the variance of a sample, c = n / (n - 1) times PaddlePaddle's: what is
            # added is m (c v - old) and m (v - old'), multiples of each other and of the old ones.
            both = zip(step.tensors("old buffers"), names, strict=True)
            old = [np.array(tensors[name][2:]) for tensors, name in both]
            matrix = np.stack([paddle, *old], axis=1)
            shares = np.linalg.lstsq(matrix, torch, rcond=None)[0]
            statistic, apart = "variance", np.abs(torch - matrix @ shares).max()
        if apart > max(UPDATE, step.slack) * max(size, 1e-12):
            share = float(np.median(paddle / torch)) if size else float("inf")
            problem = f"{share:.6g} times as much of the batch's {statistic} goes in as in PyTorch"
            relative = float(apart / max(size, 1e-300))
            return Difference(relative=relative, problem=problem, name=names[0])
    return None


def _state(step: Step) -> Difference | None:
    torch, paddle = step.tensors("state")
    for left, right in step.pairs:
        roles = {key.partition(" ")[2] for key in torch if key.startswith(left + " ")}
        others = {key.partition(" ")[2] for key in paddle if key.startswith(right + " ")}
        for role in sorted(roles & others):  # without momentum, torch keeps no velocity of 0
            ours, theirs = torch[f"{left} {role}"], paddle[f"{right} {role}"]
            apart = fingerprints.relative(ours, theirs, step.count(left))
            if apart > max(UPDATE, step.slack):
                return Difference(relative=apart, problem=f"the optimizer's {role}", name=left)
    return None


LOOKS: dict[str, Callable[[Step], Difference | None]] = {  # in the order of a step
    "data": _data,
    "mode": _mode,
    "weights": _weights,
    "forward": _forward,
    "loss": lambda step: _number(step, "loss", max(CONSTANT, step.slack)),
    # Backwards: the first gradient that is wrong is that of the last layer.
    "gradient": lambda step: _tensors(replace(step, pairs=step.pairs[::-1]), "gradient", CONSTANT),
    "lr": lambda step: _number(step, "lr", EXACT, "learning rate "),
    "update": _update,
    "state": _state,
    "running": _running,
}


def largest(keys: Pairs, reports: Reports, kind: str) -> float:
    """Return the largest relative difference of the loss, or of a kind of tensor, in all steps."""
    if kind == "loss":
        return float(np.nanmax(loss_differences(losses(reports)), initial=0.0))
    differences = [0.0]
    for step in steps(keys, reports):
        differences += step.relative(kind).values()
    return max(differences)


def losses(reports: Reports) -> dict[str, list[float]]:
    """Return the loss of each step, by side."""
    return {side: [row["loss"] for row in report["rows"]] for side, report in reports.items()}


def loss_rows(reports: Reports) -> Iterator[tuple[int, float, float, float]]:
    """Yield each step of PyTorch's side, from 1: its rate, its loss, PaddlePaddle's (or NaN)."""
    others = iter(losses(reports)["paddle"])
    for number, row in enumerate(reports["torch"]["rows"], 1):
        yield number, row["lr"], row["loss"], next(others, np.nan)


def loss_differences(pair: dict[str, list[float]]) -> np.ndarray:
    """Return the relative differences of two lists of losses by side, [steps]."""
    count = min(map(len, pair.values()))
    torch, paddle = (np.array(pair[side][:count]) for side in FRAMEWORKS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(torch - paddle) / np.maximum(np.abs(torch), 1e-12)


def parameter_pairs(keys: Pairs, reports: Reports, entry: str = "shapes") -> list[tuple[str, str]]:
    """Return the partners, in the network's order, that have this entry in both reports."""
    torch, paddle = (reports[side][entry] for side in FRAMEWORKS)
    return [(left, right) for left, right in keys if left in torch and right in paddle]


def batches_differ(torch: Report, paddle: Report) -> bool:
    """Say whether two batches hold other labels, or other images than float32 rounds them to."""
    if torch["labels"] != paddle["labels"]:
        return True
    left, right = np.array(torch["images"]), np.array(paddle["images"])
    return bool(left.any()) and fingerprints.relative(left, right, 1) > SAME_IMAGES


def load(report: Report, file: str) -> np.ndarray:
    """Return an array that a side wrote."""
    try:
        return np.load(Path(report["folder"]) / file)
    except OSError as error:
        raise UserError(f"{file} was not written by the worker ({error.strerror})") from error
