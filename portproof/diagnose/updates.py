"""What an optimizer did to a parameter, worked out from the numbers: rate, momentum, decay."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from portproof.core.findings import Cause
from portproof.core.step_compare import Pairs, Reports, load
from portproof.system.frameworks import FRAMEWORKS

MOST = 200_000  # elements of a tensor that are looked at
FITS = 1e-4  # relative; a residual above it means that the update is made of something else


@dataclass(frozen=True)
class Rule:
    """An update, fitted as p -= rate * (gradient + momentum * velocity + decay * p).

    `kept` says how the new velocity is made: its share of the old one, of the gradient and of p.
    Empty where there is no velocity.
    """

    rate: float
    momentum: float
    decay: float
    residual: float  # share of the update that does not fit
    kept: tuple[float, ...]
    share: float  # of the old velocity in the new one: what is usually called momentum
    reported: float  # the rate that the optimizer reports

    @property
    def moves(self) -> bool:
        return self.rate != 0.0 or self.residual > 0.0

    @property
    def nesterov(self) -> bool:
        """Whether the step looks ahead: p -= rate * (gradient + momentum * new velocity)."""
        return self.share != 0.0 and not _differ(self.rate, self.reported * (1 + self.share))


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


OPTIMIZER = r"\b(Momentum|SGD|Adam\w*|RMSProp|RMSprop|Adagrad|Lars\w*)\("  # is made
UNDER = "under the root: g / sqrt(square + epsilon)"  # where epsilon stands
EPSILON = r"\bepsilon\b|\beps\b"
SQUARES = {"mean_square": "RMSProp", "moment2": "Adam"}


def wanted(pairs: Pairs, reports: Reports, step: int, name: str) -> dict[str, dict[str, list]]:
    """Return, by side, which tensors to write in full to explain the update of a parameter."""
    tensors = {}
    for side, key in (("torch", name), ("paddle", dict(pairs)[name])):
        update = [f"{kind} {key}" for kind in ("before", "gradient", "after")]
        states = reports[side]["tensors"][step]["state"]
        kept = [f"state {state}" for state in states if state.startswith(key + " ")]
        is_adaptive = any(state.endswith(f" {role}") for state in kept for role in SQUARES)
        tensors[side] = {str(step): update + kept}
        if step:
            tensors[side][str(step - 1)] = kept + (update if is_adaptive else [])
    return tensors


def explain(reports: Reports, names: dict[str, str], step: int) -> Cause:
    """Return what is wrong with a parameter's update; the reports hold the tensors of `wanted`."""
    rules = [fit(reports[side], step, names[side]) for side in FRAMEWORKS]
    adaptive = [fit_adaptive(reports[side], names[side]) for side in FRAMEWORKS]
    if None not in adaptive and all(rule.moves for rule in rules):
        cause = _explain_adaptive(*adaptive, names["torch"])
    else:
        cause = _explain_rules(*rules, names["torch"])
    return replace(cause, patterns=(*cause.patterns, OPTIMIZER), event=cause.event or "optimizer")


def _read(report: dict, step: int, kind: str, key: str) -> np.ndarray:
    """Return some elements of a tensor that was written in full, [n], float64."""
    flat = load(report, f"{step}-{kind}-{key}.npy").reshape(-1).astype(np.float64)
    return flat[:: -(-flat.size // MOST)]


def fit(report: dict, step: int, name: str) -> Rule:
    """Fit the update of one parameter at one step, of which the tensors were written in full."""
    read = partial(_read, report)
    before, after = read(step, "before", name), read(step, "after", name)
    tensors, velocity = report["tensors"], f"{name} velocity"
    gradient, old = np.zeros_like(before), np.zeros_like(before)
    if tensors[step]["gradient"].get(name) is not None:
        gradient = read(step, "gradient", name)
    has_velocity = velocity in tensors[step]["state"]
    if has_velocity and step and velocity in tensors[step - 1]["state"]:
        old = read(step - 1, "state", velocity)
    (rate, *others), residual = _solve(before - after, gradient, old, before)
    momentum, decay = (share / rate if rate else 0.0 for share in others)
    kept, share = (), 0.0
    if has_velocity:
        kept = tuple(_solve(read(step, "state", velocity), old, gradient, before)[0])
        share = kept[0]
    return Rule(rate, momentum, decay, residual, kept, share, report["rows"][step]["lr"])


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
    (share, mixed, _), _ = _solve(square, gradient**2, gradient * before, before**2)
    decay = mixed / (2 * share) if share else 0.0
    usable = np.abs(update) > 1e-3 * np.abs(update).max(initial=0)
    if share <= 0 or not usable.any():
        return None
    whole = (gradient + decay * before)[usable]
    square, update = square[usable], update[usable]
    fits = []
    for inside, power, measure in ((False, 1, np.sqrt(square)), (True, 2, square)):
        effect = np.abs(whole / update) ** power  # of (sqrt(square) + epsilon) / rate, or squared
        (slope, constant), residual = _solve(effect, measure, np.ones_like(measure))
        if slope > 0:
            bias = share if role == "moment2" else 1.0  # Adam divides its mean square by that
            rate = (slope * bias ** (power / 2)) ** (-1 / power)
            fits.append((residual, inside, rate, constant * rate**power))
    for _, inside, rate, epsilon in sorted(fits)[:1]:
        return Adaptive(SQUARES[role], 1 - share, rate, epsilon, inside, decay)
    return None


def _solve(effect: np.ndarray, *causes: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the share of each cause in the effect, and the share of the effect that is left."""
    matrix = np.stack(causes, axis=1)  # [n, causes]
    scale, size = np.sqrt((matrix**2).mean(axis=0)), np.sqrt((effect**2).mean())
    usable, shares = scale > 0, np.zeros(len(causes))
    if size == 0.0:
        return shares, 0.0
    matrix = matrix[:, usable] / scale[usable]
    solved = np.linalg.lstsq(matrix, effect, rcond=None)[0]  # of no cause: nothing
    shares[usable] = solved / scale[usable]
    left = effect - matrix @ solved
    shares[np.abs(shares * scale) < 1e-7 * size] = 0.0
    return shares, float(np.sqrt((left**2).mean()) / size)


def _explain_adaptive(torch: Adaptive, paddle: Adaptive, name: str) -> Cause:
    option = partial(_option, name=name, kind=f" ({torch.kind})")
    if torch.kind != paddle.kind:
        return option("optimizer", torch.kind, paddle.kind, OPTIMIZER)
    if _differ(torch.rho, paddle.rho):
        what = "rho (alpha)" if torch.kind == "RMSProp" else "beta2"
        return option(what, torch.rho, paddle.rho, r"\brho\b|beta2|betas|alpha")
    if _differ(torch.decay, paddle.decay):
        return option("weight decay", torch.decay, paddle.decay, "weight_decay")
    if torch.inside != paddle.inside:
        forms = ("beside the root: g / (sqrt(square) + epsilon)", UNDER)
        cause = f"place of epsilon in the update of {name}: {forms[torch.inside]} in PyTorch, "
        cause += f"{forms[paddle.inside]} in PaddlePaddle ({torch.kind}; "
        cause += f"epsilon {torch.epsilon:.3g} and {paddle.epsilon:.3g})"
        fix = "write the update out, or make epsilon so small that its place does not count"
        return Cause(name, cause, fix, patterns=(EPSILON,))
    if abs(torch.epsilon - paddle.epsilon) > 0.01 * max(abs(torch.epsilon), abs(paddle.epsilon)):
        epsilons = float(f"{torch.epsilon:.2g}"), float(f"{paddle.epsilon:.2g}")
        return option("epsilon", *epsilons, EPSILON)
    if _differ(torch.rate, paddle.rate):
        return option("learning rate", torch.rate, paddle.rate, r"\blr\b|learning_rate")
    cause = f"the update of {name} by {torch.kind} differs, by less than rho, epsilon or decay do"
    return Cause(name, cause, "compare the optimizers' arguments: momentum, centered, betas")


def _explain_rules(torch: Rule, paddle: Rule, name: str) -> Cause:
    option = partial(_option, name=name)
    both = ("PaddlePaddle", paddle, torch), ("PyTorch", torch, paddle)
    for side, rule, other in both:
        if not rule.moves and other.moves:
            cause = f"{name} does not move in {side}: it is frozen, or not among the parameters "
            cause += "that the optimizer was given"
            fix = "give the optimizer all of model.parameters(), and freeze nothing"
            return Cause(name, cause, fix, patterns=("parameters",))
    for side, rule, other in both:
        if rule.residual > FITS >= other.residual:
            cause = f"{side}'s update of {name} is not that of momentum SGD: {rule.residual:.0%} "
            cause += "of it comes from neither gradient, velocity nor decay (Adam, RMSProp or "
            fix = "use the same optimizer: SGD with momentum is paddle.optimizer.Momentum"
            return Cause(name, f"{cause}another optimizer)", fix)
    if _differ(torch.momentum, paddle.momentum) or _kept_differs(torch, paddle, 0):
        if torch.nesterov != paddle.nesterov:
            return option("Nesterov's momentum", torch.nesterov, paddle.nesterov, "nesterov")
        if _differ(torch.share, paddle.share):
            return option("momentum", torch.share, paddle.share, r"\bmomentum\b")
    if _kept_differs(torch, paddle, 1):
        return _explain_share(torch, paddle, name)
    # Whether the decay takes part in the update and not in the velocity.
    decoupled = [bool(rule.kept) and rule.kept[2] == 0.0 for rule in (torch, paddle)]
    if torch.decay and paddle.decay and decoupled[0] != decoupled[1]:
        coupled = "PaddlePaddle" if decoupled[0] else "PyTorch"
        cause = f"weight decay of {name} goes through the velocity in {coupled} alone: the other "
        cause += "has decoupled decay, as AdamW"
        fix = "let the optimizer add the decay to the gradient (L2), as Momentum does"
        return Cause(name, cause, fix, patterns=(r"\* \(1 - |set_value", "decay"), event="update")
    if _differ(torch.decay, paddle.decay):
        lines = r"weight_decay|L[12]Decay|regulariz"
        return option("weight decay", torch.decay, paddle.decay, lines)
    if not _differ(torch.rate, paddle.rate):
        cause = f"the update of {name} differs, by less than rate, momentum or decay explain"
        return Cause(name, cause, "compare the optimizers' arguments: epsilon, dampening, clipping")
    if _differ(torch.reported, paddle.reported):
        return option("learning rate", torch.rate, paddle.rate, r"\blr\b")
    cause = f"learning rate of {name}: {torch.rate:.6g} is used in PyTorch, {paddle.rate:.6g} "
    cause += f"in PaddlePaddle, though both report {torch.reported:.6g}"
    fix = "look at this parameter's group or ParamAttr, and at what scales its gradient"
    if not _differ(paddle.rate, torch.rate * paddle.reported):
        fix = "a Paddle group's learning_rate multiplies the optimizer's: divide it by that"
    return Cause(name, cause, fix, patterns=("learning_rate", "optimize_attr"))


def _explain_share(torch: Rule, paddle: Rule, name: str) -> Cause:
    """Say why another share of the gradient goes into the velocity: of it alone, or of decay too.

    Dampening lessens both; clipping and a factor lessen the gradient before the decay is added.
    """
    (_, share, decay), (_, other_share, other_decay) = torch.kept, paddle.kept
    cause = f"{share:.6g} times the gradient of {name} goes into the velocity in PyTorch, "
    cause += f"{other_share:.6g} times in PaddlePaddle"
    if decay and not _differ(other_decay / decay, other_share / share):
        cause, fix = f"dampening: {cause}", "give both no dampening"
        return Cause(name, cause, fix, patterns=("dampening",))
    cause += ", and the decay in full: the gradient is clipped or scaled within the optimizer"
    fix = "give both optimizers the same clipping (grad_clip) and scale"
    return Cause(name, cause, fix, patterns=("clip", "scale"))


def _differ(left: float, right: float) -> bool:
    return abs(left - right) > 1e-4 * max(abs(left), abs(right), 1e-6)


def _kept_differs(torch: Rule, paddle: Rule, number: int) -> bool:
    """Say whether one of the shares in the new velocity differs, where both have a velocity."""
    return all((torch.kept, paddle.kept)) and _differ(torch.kept[number], paddle.kept[number])


def _option(what: str, left, right, pattern: str, name: str, kind: str = "") -> Cause:
    """Say that an option of the optimizers, numbers, words or switches, is not the same."""
    left, right = (
        f"{value:.6g}" if isinstance(value, float) else {True: "on", False: "off"}.get(value, value)
        for value in (left, right)
    )
    cause = f"{what} of {name}: {left} in PyTorch, {right} in PaddlePaddle{kind}"
    return Cause(name, cause, f"give both optimizers the same {what}", patterns=(pattern,))
