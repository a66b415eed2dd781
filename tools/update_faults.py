"""What an optimizer did to a parameter, worked out from the numbers: rate, momentum, decay."""

from dataclasses import dataclass

import numpy as np

from tools.probes import FRAMEWORKS, NAMES
from tools.rehearsals import Rehearsals, load

MOST = 200_000  # elements of a tensor that are looked at
FITS = 1e-4  # relative; a residual above it means that the update is made of something else


@dataclass(frozen=True)
class Rule:
    """An update, fitted as p -= rate * (gradient + momentum * velocity + decay * p).

    `kept` says how the new velocity is made: its share of the old one, of the gradient and of p.
    None where there is no velocity.
    """

    rate: float
    momentum: float
    decay: float
    residual: float  # share of the update that does not fit
    kept: tuple[float, float, float] | None
    reported: float  # the rate that the optimizer reports

    @property
    def moves(self) -> bool:
        return self.rate != 0.0 or self.residual > 0.0


def wanted(
    rehearsals: Rehearsals, reports: dict, step: int, name: str
) -> dict[str, dict[str, list[str]]]:
    """Return, by side, which tensors to write in full to explain the update of a parameter."""
    partner = dict(rehearsals.pairs())
    found = {}
    for side in FRAMEWORKS:
        key = name if side == "torch" else partner[name]
        own = [f"{kind} {key}" for kind in ("before", "gradient", "after")]
        states = reports[side]["tensors"][step]["state"]
        kept = [f"state {one}" for one in states if one.startswith(key + " ")]
        found[side] = {str(step): own + kept, str(step - 1): kept}
    return found


def fit(report: dict, step: int, name: str) -> Rule:
    """Fit the update of one parameter at one step, of which the tensors were written in full."""

    def read(number: int, kind: str, key: str) -> np.ndarray:
        flat = load(report, f"{number}-{kind}-{key}.npy").reshape(-1).astype(np.float64)
        return flat[:: -(-flat.size // MOST)]

    before, after = read(step, "before", name), read(step, "after", name)
    noted = report["tensors"][step]
    has_gradient = noted["gradient"].get(name) is not None
    gradient = read(step, "gradient", name) if has_gradient else np.zeros_like(before)
    velocity = f"{name} velocity"
    has_velocity = velocity in noted["state"]
    old = np.zeros_like(before)
    if has_velocity and step and velocity in report["tensors"][step - 1]["state"]:
        old = read(step - 1, "state", velocity)
    causes = np.stack([gradient, old, before], axis=1)  # [n, 3]
    (rate, momentum, decay), residual = _solve(causes, before - after)
    kept = None
    if has_velocity:
        (own, share, of_parameter), _ = _solve(causes[:, [1, 0, 2]], read(step, "state", velocity))
        kept = own, share, of_parameter
    reported = report["rows"][step]["lr"]
    if rate == 0.0:
        return Rule(0.0, 0.0, 0.0, residual, kept, reported)
    return Rule(rate, momentum / rate, decay / rate, residual, kept, reported)


def _solve(causes: np.ndarray, effect: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the share of each cause in the effect, and the share of the effect that is left."""
    scale = np.sqrt((causes**2).mean(axis=0))
    usable = scale > 0
    shares = np.zeros(causes.shape[1])
    size = np.sqrt((effect**2).mean())
    if size == 0.0 or not usable.any():
        return shares, 0.0 if size == 0.0 else 1.0
    matrix = causes[:, usable] / scale[usable]
    solved = np.linalg.lstsq(matrix, effect, rcond=None)[0]
    shares[usable] = solved / scale[usable]
    left = effect - matrix @ solved
    shares[np.abs(shares * scale) < 1e-7 * size] = 0.0
    return shares, float(np.sqrt((left**2).mean()) / size)


def explain(rules: dict[str, Rule], name: str) -> tuple[str, str]:
    """Return what is wrong with the update of a parameter, and what to change."""
    torch, paddle = rules["torch"], rules["paddle"]
    for side, rule, other in (("paddle", paddle, torch), ("torch", torch, paddle)):
        if not rule.moves and other.moves:
            return (
                f"{name} does not move in {NAMES[side]}: it is frozen, or not among the parameters "
                "that the optimizer was given",
                "optim.py: give the optimizer parameters=model.parameters(), and freeze nothing",
            )
    for side, rule, other in (("paddle", paddle, torch), ("torch", torch, paddle)):
        if rule.residual > FITS >= other.residual:
            return (
                f"{NAMES[side]}'s update of {name} is not that of momentum SGD: "
                f"{rule.residual:.0%} of it comes from neither gradient, velocity nor decay (Adam, "
                "RMSProp or another optimizer)",
                "optim.py: use the same optimizer: SGD with momentum is paddle.optimizer.Momentum",
            )
    if _differ(torch.momentum, paddle.momentum) or _kept_differs(torch, paddle, 0):
        left, right = _momentum(torch), _momentum(paddle)
        if _is_nesterov(torch) != _is_nesterov(paddle):
            return _words("Nesterov's momentum", _is_nesterov(torch), _is_nesterov(paddle), name)
        if _differ(left, right):
            return _words("momentum", left, right, name)
    if _differ(torch.decay, paddle.decay):
        return _words("weight decay", torch.decay, paddle.decay, name)
    if _kept_differs(torch, paddle, 2):
        coupled = "PyTorch" if torch.kept[2] else "PaddlePaddle"
        return (
            f"weight decay of {name} goes through the velocity in {coupled} alone: the other has "
            "decoupled decay, as AdamW",
            "optim.py: let the optimizer add the decay to the gradient (L2), as Momentum does",
        )
    if _differ(torch.rate, paddle.rate):
        if not _differ(torch.reported, paddle.reported):
            return (
                f"learning rate of {name}: {torch.rate:.6g} is used in PyTorch, {paddle.rate:.6g} "
                f"in PaddlePaddle, though both report {torch.reported:.6g}",
                "look at the learning rate of this parameter (its group, or ParamAttr), and at "
                "what scales its gradient",
            )
        return _words("learning rate", torch.rate, paddle.rate, name)
    return (
        f"the update of {name} differs, by less than rate, momentum or decay explain",
        "compare the optimizers' arguments: epsilon, dampening, clipping",
    )


def _differ(left: float, right: float) -> bool:
    return abs(left - right) > 1e-4 * max(abs(left), abs(right), 1e-6)


def _kept_differs(torch: Rule, paddle: Rule, place: int) -> bool:
    if torch.kept is None or paddle.kept is None:
        return False
    return _differ(torch.kept[place], paddle.kept[place])


def _momentum(rule: Rule) -> float:
    return rule.kept[0] if rule.kept is not None else 0.0


def _is_nesterov(rule: Rule) -> bool:
    """Say whether the step looks ahead: p -= rate * (gradient + momentum * new velocity)."""
    momentum = _momentum(rule)
    return bool(momentum) and not _differ(rule.rate, rule.reported * (1 + momentum))


def _words(what: str, left, right, name: str) -> tuple[str, str]:
    values = [f"{v:.6g}" if isinstance(v, float) else ("on" if v else "off") for v in (left, right)]
    return (
        f"{what} of {name}: {values[0]} in PyTorch, {values[1]} in PaddlePaddle",
        f"optim.py: give both optimizers the same {what}",
    )
