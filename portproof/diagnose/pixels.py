"""Why the numbers of the same image differ: channels, mirroring, normalization.

The numbers of one side are explained as a straight line, p = a * x + b for each channel, of the
bytes x of the other side's image, turned or mirrored or with its channels in another order. Where
one such explanation leaves nothing over, it is the fault; a and b give the mean and the deviation.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass
from itertools import permutations, product

import numpy as np

from portproof.core.findings import Cause
from portproof.core.inputs import IMAGENET_MEAN, IMAGENET_STD
from portproof.diagnose import relations
from portproof.diagnose.source_lines import find_line
from portproof.diagnose.stream import Pairs, Streams, as_drawn, describe_arguments, other_arguments

CHANNELS = "RGB"
MOST = 12  # samples that an explanation is looked for in
LEFT_OVER = 0.02  # bytes that a complete explanation may leave, for float32's rounding
SAME = 2e-6  # to which two means or deviations are the same; the fit is good to 1e-7


Turn = Callable[[np.ndarray], np.ndarray]

TURNS: dict[str, Turn] = {
    "": lambda x: x,
    "mirrored left to right": lambda x: x[..., ::-1],
    "upside down": lambda x: x[..., ::-1, :],
    "turned by 180 degrees": lambda x: x[..., ::-1, ::-1],
    "with rows and columns exchanged": lambda x: x.swapaxes(-1, -2),
    "turned by 90 degrees anticlockwise": lambda x: x.swapaxes(-1, -2)[..., ::-1, :],
    "turned by 90 degrees clockwise": lambda x: x.swapaxes(-1, -2)[..., ::-1],
    "mirrored along the other diagonal": lambda x: x[..., ::-1, ::-1].swapaxes(-1, -2),
}
IDENTITY, REVERSED = (0, 1, 2), (2, 1, 0)
ORDERS = dict.fromkeys((IDENTITY, REVERSED, *permutations(range(3))))


@dataclass(frozen=True)
class Constants:
    """Mean and deviation by channel, for values of 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_bytes(self, images: np.ndarray) -> np.ndarray:
        """Undo the normalization of [N, 3, S, S]; the result is of 0 to 255, float64."""
        mean, std = np.reshape(astuple(self), (2, 3, 1, 1))
        return (images * std + mean) * 255

    def reordered(self, order: tuple[int, ...]) -> "Constants":
        """Return the same with the channels in another order."""
        return Constants(*(tuple(values[n] for n in order) for values in astuple(self)))

    def close_to(self, other: "Constants") -> bool:
        """Say whether both are the same, but for what a fit leaves over."""
        return np.allclose(astuple(self), astuple(other), rtol=0, atol=SAME)


@dataclass(frozen=True)
class Line:
    """Numbers as a straight line of bytes, by channel: numbers = slope * bytes + shift."""

    slope: np.ndarray  # [3]
    shift: np.ndarray  # [3]

    @property
    def constants(self) -> Constants:
        """The mean and deviation that give this line for values of 0 to 1."""
        return Constants(tuple(-self.shift / (255 * self.slope)), tuple(1 / (255 * self.slope)))

    def left_over(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return by how many bytes, at most, y [N, 3, S, S] is off this line of x."""
        slope, shift = self.slope.reshape(3, 1, 1), self.shift.reshape(3, 1, 1)
        return float((np.abs(y - slope * x - shift) / np.abs(slope)).max())


def fit(x: np.ndarray, y: np.ndarray) -> Line:
    """Fit y [N, 3, S, S] by a straight line of x, for each channel."""
    axes = (0, 2, 3)
    mean_x, mean_y = x.mean(axes, keepdims=True), y.mean(axes, keepdims=True)
    spread = ((x - mean_x) ** 2).mean(axes, keepdims=True)
    slope = ((x - mean_x) * (y - mean_y)).mean(axes, keepdims=True) / np.maximum(spread, 1e-12)
    slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
    return Line(slope.ravel(), (mean_y - slope * mean_x).ravel())


IMAGENET = Constants(IMAGENET_MEAN, IMAGENET_STD)
# Constants that are tried: what is of 0 to 1, or of -1 to 1, is of bytes too.
KNOWN = (IMAGENET, Constants((0.0,) * 3, (1.0,) * 3), Constants((0.5,) * 3, (0.5,) * 3))


def find_constants(images: np.ndarray) -> Constants | None:
    """Return the constants of which [N, 3, S, S] are bytes; None where none of KNOWN are."""
    if images.ndim != 4 or images.shape[1] != len(CHANNELS):
        return None
    for constants in KNOWN:
        values = constants.to_bytes(images)
        if np.abs(values - np.round(values)).max() <= LEFT_OVER and values.min() > -1:
            return constants
    return None


def arrays(streams: Streams, pairs: Pairs, constants: Constants) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of the right side and the numbers of the other, [N, 3, S, S], float64."""
    right = streams.right.images([i for i, _ in pairs])
    return np.round(constants.to_bytes(right)), streams.other.images([j for _, j in pairs])


def explain(streams: Streams, pairs: Pairs, constants: Constants) -> list[Cause]:
    """Return why all of `pairs` differ; none: in other ways. `constants` are the right side's."""
    chosen = pairs[:: max(1, len(pairs) // MOST)][:MOST]
    right, other = arrays(streams, chosen, constants)
    turns = TURNS if streams.split == "val" else [""]  # train's flips: explain_flips
    for order, turn in product(ORDERS, turns):
        changed = TURNS[turn](right[:, order])
        line = fit(changed, other)
        if line.left_over(changed, other) <= LEFT_OVER:
            break
    else:
        return []
    for pair in pairs:
        right, other = arrays(streams, [pair], constants)
        if not line.left_over(TURNS[turn](right[:, order]), other) <= LEFT_OVER:
            return []
    where = streams.right.describe(pairs[0][0])
    if len(pairs) < len(streams.pairs):
        where += f", and in all {len(pairs)} of {len(streams.pairs)} images that differ"
    causes = []
    if turn:
        cause = f"every image is {turn} in {streams.other}, and not in {streams.right}"
        mirrors = r"flip|::-1|transpose|rotate|rot90|swapaxes|permute"
        causes.append(streams.cause(where, cause, "leave the image as it is", mirrors))
    same = line.constants.close_to(constants)
    if order != IDENTITY:
        after = not same and line.constants.close_to(constants.reordered(order))
        same = same or after
        names = "".join(CHANNELS[n] for n in order)
        cause = f"{streams.other} reads the channels in the order {names}, not RGB, "
        cause += f"{'after' if after else 'before'} normalization"
        reverses = r"::-1\]|BGR|2, 1, 0|split\(\)|\bflip\((?!args)|\.flip\(\[?[-\d]"
        fix = "keep the channels in the order RGB"
        causes.append(streams.cause(where, cause, fix, reverses, r"\bread|open\(|decode"))
    if not same:
        causes.append(_normalization(streams, where, constants, line))
    return causes


def _normalization(streams: Streams, where: str, ours: Constants, line: Line) -> Cause:
    """Return the cause where the numbers are another line of the same bytes."""
    mean, std = np.array(astuple(ours))
    early = "are normalized before scaling: "
    applied = "the mean and deviation of values of 0 to 1 are applied to values of 0 to 255"
    divided = "what came out was divided by 255 afterwards"
    known = {
        "are the bytes, 0 to 255, neither scaled nor normalized": (1.0, 0.0),
        "are of 0 to 1, scaled and not normalized": (1 / 255, 0.0),
        f"{early}{applied}": (1 / std, -mean / std),
        f"{early}{divided}": (1 / (255 * std), -mean / (255 * std)),
        "are divided by 255 twice": (1 / (255**2 * std), -mean / std),
    }
    for words, (slope, shift) in known.items():
        if np.allclose(line.slope, slope, 1e-4) and np.allclose(line.shift, shift, 1e-4, 1e-5):
            cause = f"the numbers {words}, in {streams.other}"
            fix = "divide the bytes by 255 first, then subtract the mean and divide by the "
            lines = (r"\* ?255|/ ?255|255\.", "to_tensor|ToTensor|astype", "normalize")
            return streams.cause(where, cause, f"{fix}deviation", *lines)
    return _other_constants(streams, where, ours, line.constants)


def _other_constants(streams: Streams, where: str, ours: Constants, theirs: Constants) -> Cause:
    other, right = streams.other, streams.right
    mean, std = (", ".join(f"{n:.4g}" for n in numbers) for numbers in astuple(ours))
    mistakes = {
        "mean and std exchanged": Constants(ours.std, ours.mean),
        "mean and std of B, G, R": ours.reordered(REVERSED),
    }
    for words, constants in mistakes.items():
        if theirs.close_to(constants):
            cause, fix = f"{other} normalizes with {words}", f"mean {mean}, std {std}"
            return streams.cause(where, cause, fix, "STD, MEAN|::-1", "[Nn]ormalize")
    stretch = np.divide(astuple(theirs), astuple(ours))  # [2, 3]
    if np.allclose(stretch, stretch[1, 0], 0, 1e-5):
        cause = f"{other} divides the bytes by {255 * stretch[1, 0]:.4g}, not by 255"
        return streams.cause(where, cause, "divide by 255", r"/ ?\d|\* ?\d")
    causes, lines = [], {}
    for name in ("mean", "std"):
        for channel, a, b in zip(CHANNELS, getattr(ours, name), getattr(theirs, name), strict=True):
            if abs(a - b) > SAME:
                causes.append(
                    f"{name} of channel {channel} is {b:.6g} in {other}, {a:.6g} in {right}"
                )
                lines[rf"\b{name.upper()}\s*="] = None
    cause = "; ".join(causes) or f"the numbers are another line of the bytes in {other}"
    fix = f"normalize with mean {mean} and std {std}"
    line = find_line(other.side, list(lines))  # constants stand anywhere
    return streams.cause(where, cause, fix, "normalize|Normalize", line=line)


def explain_flips(streams: Streams, pairs: Pairs, constants: Constants) -> list[Cause]:
    """Return the causes where train's images differ in how they are turned, and in normalization.

    `pairs` are samples in a row, those that agree too: they show how often the other side turns.
    None where that does not explain them.
    """
    turns: list[str] = []
    for pair in pairs:
        right, other = arrays(streams, [pair], constants)
        for turn, change in TURNS.items():
            line = fit(change(right), other)
            if line.left_over(change(right), other) <= LEFT_OVER:
                turns.append(turn)
                break
        else:
            return []
    if not any(turns):
        return []
    causes = [_other_turns(streams, pairs, turns)]
    if not line.constants.close_to(constants):
        causes.append(_normalization(streams, causes[0].where, constants, line))
    return causes


def _other_turns(streams: Streams, pairs: Pairs, turns: list[str]) -> Cause:
    other, right = streams.other, streams.right
    kinds = Counter(filter(None, turns))
    flipped = np.array([was_flipped(streams, i) for i, _ in pairs])
    turned = np.array(turns) != ""
    first, sample = pairs[int(turned.argmax())]
    if set(kinds) == {"mirrored left to right"}:
        return _mirrored(streams, pairs, flipped, flipped ^ turned)
    if set(kinds) == {"turned by 180 degrees"} and flipped[turned].all():
        cause = f"{other} flips vertically (upside down) what {right} flips left to right"
    else:
        cause = f"{other} turns images otherwise: {turned.sum()} of {len(pairs)} are "
        cause += f"{', '.join(kinds)} against {right}'s (a vertical flip?)"
    fix, line = "mirror left to right", other.step_line(sample, "transpose")
    return streams.cause(first, cause, fix, r"flip\(|rotate|transpose", "flip", line=line)


def _mirrored(streams: Streams, pairs: Pairs, ours: np.ndarray, theirs: np.ndarray) -> Cause:
    """Return the cause where other images are mirrored; which are, by side: [N], bool."""
    other, right = streams.other, streams.right
    first = pairs[int((ours != theirs).argmax())][0]
    counts = f"{theirs.sum()} of {len(pairs)} are mirrored, {ours.sum()} in {right}"
    lines = (r"\bif .*flip|hflip\(", "flip")
    line = (other.draw(pairs[0][1], "flip") or {}).get("line")
    fix = f"draw it {as_drawn(right, right.draw(pairs[0][0], 'flip'))}"
    if not theirs.any():
        cause, fix = f"the flip is missing: {other} never mirrors an image", "mirror where drawn"
        lines, line = ("hflip|flip", "crop|resize"), other.step_line(pairs[0][1], "crop", "resize")
    elif theirs.all():
        cause = f"{other} flips always: every image is mirrored"
        fix, line = "mirror only where it is drawn", None
    elif other.again:
        cause = f"{other}'s flip is drawn anew at each reading: {counts}"
        lines = (r"random\.|rand\(", "flip")
    elif (theirs != ours).all():
        cause = f"{other} flips exactly where {right} does not: the test is negated"
        fix, line = "negate it", None
    elif abs(theirs.mean() - ours.mean()) > 0.2 or (theirs >= ours).all() or (theirs <= ours).all():
        cause = f"{other} flips with another probability, {theirs.mean():.2f}: {counts}"
        lines = (r"flip.*<|random\(\) <|draws\.flip", "flip")
    else:
        cause = f"the flip in {other} is drawn from another stream than in {right}: {counts}"
        cause += how_drawn(streams, pairs, "flip")
        lines = (r"=.*flip\(", "flip")
    return streams.cause(first, cause, fix, *lines, line=line)


def other_draw(streams: Streams, pairs: Pairs, name: str) -> dict:
    """Return the arguments of the first draw that has other ones (see other_arguments)."""
    both = ((streams.right.draw(i, name), streams.other.draw(j, name)) for i, j in pairs)
    return next(filter(None, (other_arguments(*draws) for draws in both)), {})


def how_drawn(streams: Streams, pairs: Pairs, name: str) -> str:
    """Return words for the arguments of a draw that differ; none where none are known."""
    if streams.other.tells_draws and not any(streams.other.draw(j, name) for _, j in pairs):
        return f"; {streams.other}'s port tells of no such draw"
    words = describe_arguments(other_draw(streams, pairs, name))
    return f"; {words}" if words else ""


def was_flipped(streams: Streams, sample: int) -> bool:
    """Say whether the right side mirrored the image of a sample."""
    draw = streams.right.draw(sample, "flip")
    mirrored = "FLIP_LEFT_RIGHT" in streams.right.steps(sample, "transpose")
    return mirrored if draw is None else bool(draw["result"])


def nearly(streams: Streams, pairs: Pairs, constants: Constants) -> Cause | None:
    """Return the cause where images are the same but for rounding, a few numbers, or colour."""
    i, j = pairs[0]
    right, other = streams.right.images([i]), streams.other.images([j])
    side = streams.other
    rounded = relations.roundings(right)
    for kind in ("float16", "bfloat16"):
        if np.array_equal(rounded[kind], other):
            cause = f"{side} rounds the numbers to {kind}"
            return streams.cause(i, cause, "keep float32", "float16|half", "astype|cast")
    apart = np.abs(right - other)
    differ = np.argwhere(apart > 1e-6)
    if len(differ) <= right.size / 50:
        channel, row, column = differ[0][1:]
        cause = f"{len(differ)} of {right.size} numbers differ in {side}, by {apart.max():.2g} at "
        cause += f"most; the first is of channel {CHANNELS[channel]}, row {row}, column {column}"
        return streams.cause(i, cause, "leave the numbers as normalization gives them", "normalize")
    ours, theirs = np.round(constants.to_bytes(right)[0]), constants.to_bytes(other)[0]
    off = float(np.abs(ours - theirs).max())
    if off <= 1.01:
        cause = f"the pixels are up to {off:.2g} of 255 off in {side}: rounded otherwise, or "
        cause += "decoded or resized by another library"
        fix = "decode and resize with Pillow, to bytes"
        return streams.cause(i, cause, fix, "round|astype|cast|imread|decode", "resize")
    spread = []
    for x, y in zip(ours.reshape(3, -1).astype(int), theirs.reshape(3, -1), strict=True):
        mean = np.bincount(x, y) / np.maximum(np.bincount(x), 1)
        spread.append(np.abs(y - mean[x]).max())
    if max(spread) > 1.01:  # a byte becomes one number here and another there
        return None
    common = np.bincount(ours.astype(int).ravel()).argmax()
    becomes = theirs[ours == common].mean()
    cause = f"{side} changes the colours and nothing else (brightness, contrast, gamma): "
    cause += f"{common} of 255 becomes {becomes:.0f}"
    line = "adjust_|[Jj]itter|brightness|contrast|gamma|equalize"
    return streams.cause(i, cause, "leave the colours as they are", line)
