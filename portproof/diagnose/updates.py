"""What an optimizer did to a parameter, worked out from the numbers: rate, momentum, decay."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from portproof.core.findings import Cause
from portproof.core.step_compare import Reports, load
from portproof.system.frameworks import FRAMEWORKS, NAMES

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


@dataclass(frozen=True)
class Adaptive:
    """An update, fitted as p -= rate * g / (sqrt(square) + epsilon), g the gradient with its decay.

    Or as p -= rate * g / sqrt(square + epsilon) where epsilon stands `inside`. That is what RMSProp
    and Adam do at their first step.
    """

    kind: str
    rho: float  # share of the old mean square that is kept
    rate: float
    epsilon: float
    inside: bool
    decay: float
    residual: float


OPTIMIZER = r"\b(Momentum|SGD|Adam\w*|RMSProp|RMSprop|Adagrad|Lars\w*)\("  # is made
EPSILON = r"\bepsilon\b|\beps\b"
SQUARES = {"mean_square": "RMSProp", "moment2": "Adam"}


def wanted(
    pairs: list[tuple[str, str]], reports: Reports, step: int, name: str
) -> dict[str, dict[str, list[str]]]:
    """Return, by side, which tensors to write in full to explain the update of a parameter."""
    partner = dict(pairs)
    found = {}
    for side in FRAMEWORKS:
        key = name if side == "torch" else partner[name]
        own = [f"{kind} {key}" for kind in ("before", "gradient", "after")]
        states = reports[side]["tensors"][step]["state"]
        kept = [f"state {one}" for one in states if one.startswith(key + " ")]
        is_adaptive = any(one.endswith(f" {role}") for one in kept for role in SQUARES)
        found[side] = {str(step): own + kept}
        if step:
            found[side][str(step - 1)] = kept + (own if is_adaptive else [])
    return found


def explain(reports: dict[str, dict], names: dict[str, str], step: int) -> Cause:
    """Return what is wrong with the update of a parameter, whose name on each side is given.

    The reports are those with the tensors that `wanted` names.
    """
    rules = {side: fit(reports[side], step, name) for side, name in names.items()}
    adaptive = {side: fit_adaptive(reports[side], name) for side, name in names.items()}
    if None not in adaptive.values() and all(rule.moves for rule in rules.values()):
        cause = _explain_adaptive(adaptive, names["torch"])
    else:
        cause = _explain_rules(rules, names["torch"])
    patterns = (*cause.patterns, OPTIMIZER)
    return replace(cause, patterns=patterns, event=cause.event or "optimizer")


def _read(report: dict, step: int, kind: str, key: str) -> np.ndarray:
    """Return some elements of a tensor that was written in full, [n], float64."""
    flat = load(report, f"{step}-{kind}-{key}.npy").reshape(-1).astype(np.float64)
    return flat[:: -(-flat.size // MOST)]


def fit(report: dict, step: int, name: str) -> Rule:
    """Fit the update of one parameter at one step, of which the tensors were written in full."""
    read = partial(_read, report)
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


def fit_adaptive(report: dict, name: str) -> Adaptive | None:
    """Fit the first update of a parameter by RMSProp or Adam; None where it is neither's."""
    states = report["tensors"][0]["state"]
    role = next((role for role in SQUARES if f"{name} {role}" in states), None)
    if role is None:
        return None
    read = partial(_read, report, 0)
    before, gradient = read("before", name), read("gradient", name)
    square, update = read("state", f"{name} {role}"), before - read("after", name)
    # The first mean square is (1 - rho) (gradient + decay * p)^2.
    causes = np.stack([gradient**2, gradient * before, before**2], axis=1)
    (share, mixed, _), _ = _solve(causes, square)
    decay = mixed / (2 * share) if share else 0.0
    whole = gradient + decay * before
    usable = np.abs(update) > 1e-3 * np.abs(update).max(initial=0)
    if share <= 0 or not usable.any():
        return None
    whole, square, update = whole[usable], square[usable], update[usable]
    fits = []
    for inside, power, measure in ((False, 1, np.sqrt(square)), (True, 2, square)):
        effect = np.abs(whole / update) ** power  # of (sqrt(square) + epsilon) / rate, or squared
        ones = np.ones_like(measure)
        (slope, constant), residual = _solve(np.stack([measure, ones], axis=1), effect)
        if slope > 0:
            bias = share if role == "moment2" else 1.0  # Adam divides its mean square by that
            rate = (slope * bias ** (power / 2)) ** (-1 / power)
            fits.append((residual, inside, rate, constant * rate**power))
    if not fits:
        return None
    residual, inside, rate, epsilon = min(fits)
    return Adaptive(SQUARES[role], 1 - share, rate, epsilon, inside, decay, residual)


def _explain_adaptive(found: dict[str, Adaptive], name: str) -> Cause:
    torch, paddle = found["torch"], found["paddle"]
    words = partial(_words, name=name, kind=f" ({torch.kind})")
    if torch.kind != paddle.kind:
        return words("optimizer", torch.kind, paddle.kind, OPTIMIZER)
    if _differ(torch.rho, paddle.rho):
        what = "rho (alpha)" if torch.kind == "RMSProp" else "beta2"
        return words(what, torch.rho, paddle.rho, r"\brho\b|beta2|betas|alpha")
    if _differ(torch.decay, paddle.decay):
        return words("weight decay", torch.decay, paddle.decay, "weight_decay")
    if torch.inside != paddle.inside:
        places = [
            "under the root: g / sqrt(square + epsilon)"
            if one.inside
            else "beside the root: g / (sqrt(square) + epsilon)"
            for one in (torch, paddle)
        ]
        cause = f"place of epsilon in the update of {name}: {places[0]} in PyTorch, {places[1]} in "
        cause += f"PaddlePaddle ({torch.kind}; "
        cause += f"epsilon {torch.epsilon:.3g} and {paddle.epsilon:.3g})"
        fix = "write the update out, or make epsilon so small that its place does not count"
        return Cause(name, cause, fix, patterns=(EPSILON,))
    if abs(torch.epsilon - paddle.epsilon) > 0.01 * max(abs(torch.epsilon), abs(paddle.epsilon)):
        epsilons = float(f"{torch.epsilon:.2g}"), float(f"{paddle.epsilon:.2g}")
        return words("epsilon", *epsilons, EPSILON)
    if _differ(torch.rate, paddle.rate):
        return words("learning rate", torch.rate, paddle.rate, r"\blr\b|learning_rate")
    cause = f"the update of {name} by {torch.kind} differs, by less than rho, epsilon or decay do"
    return Cause(name, cause, "compare the optimizers' arguments: momentum, centered, betas")


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


def _explain_rules(rules: dict[str, Rule], name: str) -> Cause:
    torch, paddle = rules["torch"], rules["paddle"]
    for side, rule, other in (("paddle", paddle, torch), ("torch", torch, paddle)):
        if not rule.moves and other.moves:
            return Cause(
                name,
                f"{name} does not move in {NAMES[side]}: it is frozen, or not among the parameters "
                "that the optimizer was given",
                "give the optimizer all of model.parameters(), and freeze nothing",
                patterns=("parameters",),
            )
    for side, rule, other in (("paddle", paddle, torch), ("torch", torch, paddle)):
        if rule.residual > FITS >= other.residual:
            return Cause(
                name,
                f"{NAMES[side]}'s update of {name} is not that of momentum SGD: "
                f"{rule.residual:.0%} of it comes from neither gradient, velocity nor decay (Adam, "
                "RMSProp or another optimizer)",
                "use the same optimizer: SGD with momentum is paddle.optimizer.Momentum",
            )
    if _differ(torch.momentum, paddle.momentum) or _kept_differs(torch, paddle, 0):
        left, right = _momentum(torch), _momentum(paddle)
        if _is_nesterov(torch) != _is_nesterov(paddle):
            values = _is_nesterov(torch), _is_nesterov(paddle)
            return _words("Nesterov's momentum", *values, "nesterov", name)
        if _differ(left, right):
            return _words("momentum", left, right, r"\bmomentum\b", name)
    if _kept_differs(torch, paddle, 1):
        return _explain_share(torch, paddle, name)
    decays = torch.decay, paddle.decay
    if all(decays) and _is_decoupled(torch) != _is_decoupled(paddle):
        coupled = "PaddlePaddle" if _is_decoupled(torch) else "PyTorch"
        return Cause(
            name,
            f"weight decay of {name} goes through the velocity in {coupled} alone: the other has "
            "decoupled decay, as AdamW",
            "let the optimizer add the decay to the gradient (L2), as Momentum does",
            patterns=(r"\* \(1 - |set_value", "decay"),
            event="update",
        )
    if _differ(*decays):
        return _words("weight decay", *decays, r"weight_decay|L[12]Decay|regulariz", name)
    if _differ(torch.rate, paddle.rate):
        if _differ(torch.reported, paddle.reported):
            return _words("learning rate", torch.rate, paddle.rate, r"\blr\b", name)
        cause = f"learning rate of {name}: {torch.rate:.6g} is used in PyTorch, {paddle.rate:.6g} "
        cause += f"in PaddlePaddle, though both report {torch.reported:.6g}"
        fix = "look at the learning rate of this parameter (its group, or ParamAttr), and at what "
        fix += "scales its gradient"
        if not _differ(paddle.rate, torch.rate * paddle.reported):
            fix = "a Paddle group's learning_rate multiplies the optimizer's: divide it by that"
        return Cause(name, cause, fix, patterns=("learning_rate", "optimize_attr"))
    cause = f"the update of {name} differs, by less than rate, momentum or decay explain"
    return Cause(name, cause, "compare the optimizers' arguments: epsilon, dampening, clipping")


def _explain_share(torch: Rule, paddle: Rule, name: str) -> Cause:
    """Say why another share of the gradient goes into the velocity: of it alone, or of decay too.

    Dampening lessens both; clipping and a factor lessen the gradient before the decay is added.
    """
    shares = torch.kept[1], paddle.kept[1]
    decays = torch.kept[2], paddle.kept[2]
    told = f"{shares[0]:.6g} times the gradient of {name} goes into the velocity in PyTorch, "
    told += f"{shares[1]:.6g} times in PaddlePaddle"
    with_decay = decays[0] and not _differ(decays[1] / decays[0], shares[1] / shares[0])
    if with_decay:
        fix = "give both no dampening"
        return Cause(name, f"dampening: {told}", fix, patterns=("dampening",))
    told += ", and the decay in full: the gradient is clipped or scaled within the optimizer"
    fix = "give both optimizers the same clipping (grad_clip) and scale"
    return Cause(name, told, fix, patterns=("clip", "scale"))


def _differ(left: float, right: float) -> bool:
    return abs(left - right) > 1e-4 * max(abs(left), abs(right), 1e-6)


def _kept_differs(torch: Rule, paddle: Rule, place: int) -> bool:
    if torch.kept is None or paddle.kept is None:
        return False
    return _differ(torch.kept[place], paddle.kept[place])


def _momentum(rule: Rule) -> float:
    return rule.kept[0] if rule.kept is not None else 0.0


def _is_decoupled(rule: Rule) -> bool:
    """Say whether the decay takes part in the update and not in the velocity."""
    return rule.kept is not None and rule.decay != 0.0 and rule.kept[2] == 0.0


def _is_nesterov(rule: Rule) -> bool:
    """Say whether the step looks ahead: p -= rate * (gradient + momentum * new velocity)."""
    momentum = _momentum(rule)
    return bool(momentum) and not _differ(rule.rate, rule.reported * (1 + momentum))


def _words(what: str, left, right, option: str, name: str, kind: str = "") -> Cause:
    """Say that an option of the optimizers, numbers, words or switches, is not the same."""
    left, right = (
        f"{value:.6g}" if isinstance(value, float) else {True: "on", False: "off"}.get(value, value)
        for value in (left, right)
    )
    cause = f"{what} of {name}: {left} in PyTorch, {right} in PaddlePaddle{kind}"
    return Cause(name, cause, f"give both optimizers the same {what}", patterns=(option,))
