"""Why the numbers of the same image differ: channels, mirroring, normalization.

The numbers of one side are explained as a straight line, p = a * x + b for each channel, of the
bytes x of the other side's image, turned or mirrored or with its channels in another order. Where
one such explanation leaves nothing over, it is the fault; a and b give the mean and the deviation.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from portproof.core.findings import Cause
from portproof.diagnose.source_lines import find_line
from portproof.diagnose.stream import Streams, as_drawn, other_arguments, tell_arguments

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB, for values of 0 to 1
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
IDENTITY = (0, 1, 2)
ORDERS = [
    IDENTITY,
    (2, 1, 0),
    *(p for p in permutations(range(3)) if p not in {IDENTITY, (2, 1, 0)}),
]


@dataclass(frozen=True)
class Constants:
    """Mean and deviation by channel, for values of 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_bytes(self, images: np.ndarray) -> np.ndarray:
        """Undo the normalization of [N, 3, S, S]; the result is of 0 to 255, float64."""
        column = (np.asarray(self.std).reshape(3, 1, 1), np.asarray(self.mean).reshape(3, 1, 1))
        return (images * column[0] + column[1]) * 255


@dataclass(frozen=True)
class Line:
    """Numbers as a straight line of bytes, by channel: numbers = slope * bytes + shift."""

    slope: np.ndarray  # [3]
    shift: np.ndarray  # [3]
    left_over: float  # the largest difference from the line, in bytes

    @property
    def complete(self) -> bool:
        return self.left_over <= LEFT_OVER

    @property
    def constants(self) -> Constants:
        """The mean and deviation that give this line for values of 0 to 1."""
        return Constants(tuple(-self.shift / (255 * self.slope)), tuple(1 / (255 * self.slope)))


def fit(x: np.ndarray, y: np.ndarray) -> Line:
    """Fit y [N, 3, S, S] by a straight line of x, for each channel."""
    axes = (0, 2, 3)
    mean_x, mean_y = x.mean(axes, keepdims=True), y.mean(axes, keepdims=True)
    spread = ((x - mean_x) ** 2).mean(axes, keepdims=True)
    slope = ((x - mean_x) * (y - mean_y)).mean(axes, keepdims=True) / np.maximum(spread, 1e-12)
    steep = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
    left = np.abs(y - mean_y - slope * (x - mean_x)) / np.abs(steep)
    shift = mean_y - slope * mean_x
    worst = float(left.max()) if np.isfinite(left).all() else np.inf
    return Line(steep.ravel(), shift.ravel(), worst)


def find_constants(images: np.ndarray, more: Iterable[Constants] = ()) -> Constants | None:
    """Return the constants of which [N, 3, S, S] are bytes; None where none of those tried are."""
    if images.ndim != 4 or images.shape[1] != len(CHANNELS):
        return None
    plain = Constants((0.0,) * 3, (1.0,) * 3), Constants((0.5,) * 3, (0.5,) * 3)
    for constants in (Constants(MEAN, STD), *more, *plain):
        values = constants.to_bytes(images)
        if np.abs(values - np.round(values)).max() <= LEFT_OVER and values.min() > -1:
            return constants
    return None


def explain(
    streams: Streams, pairs: list[tuple[int, int]], constants: Constants
) -> list[Cause] | None:
    """Return the causes of a difference in `pairs`, samples of one shape; None: not of these kinds.

    `constants` are those of the right side. All samples must have the same explanation.
    """
    chosen = pairs[:: max(1, len(pairs) // MOST)][:MOST]
    right = np.round(constants.to_bytes(streams.right.images([i for i, _ in chosen])))
    other = streams.other.images([j for _, j in chosen])
    best = None
    turns = TURNS if streams.split == "val" else [""]  # train's flips: explain_flips
    for order, turn in product(ORDERS, turns):
        line = fit(TURNS[turn](right[:, order]), other)
        if line.complete:
            best = order, turn, line
            break
    if best is None:
        return None
    order, turn, line = best
    if not _all_explained(streams, pairs, constants, order, turn, line):
        return None
    where = streams.right.place(pairs[0][0])
    if len(pairs) < len(streams.pairs):
        where += f", and in all {len(pairs)} of {len(streams.pairs)} images that differ"
    causes = [] if not turn else [_turned(streams, where, turn)]
    same = _close(line.constants, constants)
    if order != IDENTITY:
        after = Constants(
            *(tuple(one[n] for n in order) for one in (constants.mean, constants.std))
        )
        causes.append(_reordered(streams, where, order, not same and _close(line.constants, after)))
        same = same or _close(line.constants, after)
    if not same:
        causes.append(_normalization(streams, where, constants, line))
    return causes


def _all_explained(
    streams: Streams,
    pairs: list[tuple[int, int]],
    constants: Constants,
    order: tuple[int, ...],
    turn: str,
    line: Line,
) -> bool:
    """Return whether the explanation found on some samples holds for all of them."""
    slope, shift = line.slope.reshape(3, 1, 1), line.shift.reshape(3, 1, 1)
    for i, j in pairs:
        expected = TURNS[turn](np.round(constants.to_bytes(streams.right.images([i])))[:, order])
        left = np.abs(streams.other.images([j]) - slope * expected - shift) / np.abs(slope)
        if left.max() > LEFT_OVER:
            return False
    return True


def _close(one: Constants, other: Constants, within: float = SAME) -> bool:
    return np.allclose(one.mean, other.mean, 0, within) and np.allclose(
        one.std, other.std, 0, within
    )


def _turned(streams: Streams, where: str, turn: str) -> Cause:
    other, right = streams.other.name, streams.right.name
    cause = f"every image is {turn} in {other}, and not in {right}"
    lines = (r"flip|::-1|transpose|rotate|rot90|swapaxes|permute",)
    return streams.cause(where, cause, "leave the image as it is", *lines)


def _reordered(streams: Streams, where: str, order: tuple[int, ...], after: bool) -> Cause:
    other = streams.other.name
    names = "".join(CHANNELS[n] for n in order)
    when = "after normalization" if after else "before normalization"
    cause = f"{other} reads the channels in the order {names}, not RGB, {when}"
    lines = (
        r"::-1\]|BGR|2, 1, 0|split\(\)|\bflip\((?!args)|\.flip\(\[?[-\d]",
        r"\bread|open\(|decode",
    )
    return streams.cause(where, cause, "keep the channels in the order RGB", *lines)


def _normalization(streams: Streams, where: str, ours: Constants, line: Line) -> Cause:
    """Return the cause where the numbers are another line of the same bytes."""
    other = streams.other.name
    mean, std = np.array(ours.mean), np.array(ours.std)
    calls = (r"\* ?255|/ ?255|255\.", "to_tensor|ToTensor|astype", "normalize")
    known = {
        "are the bytes, 0 to 255, neither scaled nor normalized": (1.0, 0.0),
        "are of 0 to 1, scaled and not normalized": (1 / 255, 0.0),
        "are normalized before scaling: the mean and deviation of values of 0 to 1 are applied to "
        "values of 0 to 255": (1 / std, -mean / std),
        "are normalized before scaling: what came out was divided by 255 afterwards": (
            1 / (255 * std),
            -mean / (255 * std),
        ),
        "are divided by 255 twice": (1 / (255**2 * std), -mean / std),
    }
    for words, (slope, shift) in known.items():
        if np.allclose(line.slope, slope, 1e-4) and np.allclose(line.shift, shift, 1e-4, 1e-5):
            cause = f"the numbers {words}, in {other}"
            fix = (
                "divide the bytes by 255 first, then subtract the mean and divide by the deviation"
            )
            return streams.cause(where, cause, fix, *calls)
    return _other_constants(streams, where, ours, line.constants)


def _other_constants(streams: Streams, where: str, ours: Constants, theirs: Constants) -> Cause:
    other, right = streams.other.name, streams.right.name
    exchanged = Constants(ours.std, ours.mean)
    reverse = Constants(ours.mean[::-1], ours.std[::-1])
    for kind, words in (
        (exchanged, "mean and std exchanged"),
        (reverse, "mean and std of B, G, R"),
    ):
        if _close(theirs, kind):
            cause = f"{other} normalizes with {words}"
            fix = f"mean {_numbers(ours.mean)}, std {_numbers(ours.std)}"
            return streams.cause(where, cause, fix, "STD, MEAN|::-1", "[Nn]ormalize")
    stretch = np.array(theirs.std) / ours.std
    if np.allclose([*stretch, *(np.array(theirs.mean) / ours.mean)], stretch[0], 0, 1e-5):
        cause = f"{other} divides the bytes by {255 * stretch[0]:.4g}, not by 255"
        return streams.cause(where, cause, "divide by 255", r"/ ?\d|\* ?\d")
    told, lines = [], []
    for name, mine, yours in (("mean", ours.mean, theirs.mean), ("std", ours.std, theirs.std)):
        for channel, a, b in zip(CHANNELS, mine, yours, strict=True):
            if abs(a - b) > SAME:
                told.append(
                    f"{name} of channel {channel} is {b:.6g} in {other}, {a:.6g} in {right}"
                )
                lines.append(rf"\b{name.upper()}\s*=")
    cause = "; ".join(told) or f"the numbers are another line of the bytes in {other}"
    fix = f"normalize with mean {_numbers(ours.mean)} and std {_numbers(ours.std)}"
    named = find_line(streams.other.side, list(dict.fromkeys(lines)))  # constants stand anywhere
    return streams.cause(where, cause, fix, "normalize|Normalize", line=named)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def explain_flips(
    streams: Streams, pairs: list[tuple[int, int]], constants: Constants
) -> list[Cause]:
    """Return the causes where train's images differ in how they are turned, and in normalization.

    `pairs` are samples in a row, those that agree too: they show how often the other side turns.
    Empty where that does not explain them.
    """
    turned: list[str] = []
    for i, j in pairs:
        turn, line = _turn_between(streams, i, j, constants)
        if turn is None:
            return []
        turned.append(turn)
    differing = [n for n, turn in enumerate(turned) if turn]
    if not differing:
        return []
    causes = [_other_turns(streams, pairs, turned, differing)]
    if not _close(line.constants, constants):
        causes.append(_normalization(streams, causes[0].where, constants, line))
    return causes


def _other_turns(
    streams: Streams, pairs: list[tuple[int, int]], turned: list[str], differing: list[int]
) -> Cause:
    where = streams.right.place(pairs[differing[0]][0])
    kinds = Counter(turned[n] for n in differing)
    other, right = streams.other.name, streams.right.name
    lines = (r"\bif flip|flip\(", "flip")
    line = streams.other.step_line(pairs[differing[0]][1], "transpose")
    if set(kinds) != {"mirrored left to right"}:
        ours = [_was_flipped(streams, i) for i, _ in pairs]
        if set(kinds) == {"turned by 180 degrees"} and all(ours[n] for n in differing):
            words = f"{other} flips vertically (upside down) what {right} flips left to right"
        else:
            words = f"{other} turns images otherwise: {len(differing)} of {len(pairs)} are "
            words += f"{', '.join(kinds)} against {right}'s (a vertical flip?)"
        fix, lines = "mirror left to right", (r"flip\(|rotate|transpose", "flip")
        return streams.cause(where, words, fix, *lines, line=line)
    return _mirrored(streams, pairs, set(differing), where)


def _mirrored(
    streams: Streams, pairs: list[tuple[int, int]], differing: set[int], where: str
) -> Cause:
    other, right = streams.other.name, streams.right.name
    ours = np.array([_was_flipped(streams, i) for i, _ in pairs])
    theirs = ours ^ np.array([n in differing for n in range(len(pairs))])
    share, expected = theirs.mean(), ours.mean()
    counts = f"{theirs.sum()} of {len(pairs)} are mirrored, {ours.sum()} in {right}"
    if streams.other.again and theirs.any() and not theirs.all():
        cause = f"{other}'s flip is drawn anew at each reading: {counts}"
        return _other_draw(streams, pairs, where, cause, r"random\.|rand\(")
    if not theirs.any():
        cause, fix = f"the flip is missing: {other} never mirrors an image", "mirror where drawn"
        line = streams.other.step_line(pairs[0][1], "crop", "resize")
        return streams.cause(where, cause, fix, "hflip|flip", "crop|resize", line=line)
    lines = (r"\bif .*flip|hflip\(", "flip")
    if theirs.all():
        cause = f"{other} flips always: every image is mirrored"
        return streams.cause(where, cause, "mirror only where it is drawn", *lines)
    if (theirs != ours).all():
        cause = f"{other} flips exactly where {right} does not: the test is negated"
        return streams.cause(where, cause, "negate it", *lines)
    if abs(share - expected) > 0.2 or not (theirs & ~ours).any() or not (~theirs & ours).any():
        cause = f"{other} flips with another probability, {share:.2f}: {counts}"
        return _other_draw(streams, pairs, where, cause, r"flip.*<|random\(\) <|draws\.flip")
    cause = f"the flip in {other} is drawn from another stream than in {right}: {counts}"
    cause += how_drawn(streams, pairs, "flip")
    return _other_draw(streams, pairs, where, cause, r"=.*flip\(")


def _other_draw(
    streams: Streams, pairs: list[tuple[int, int]], where: str, cause: str, pattern: str
) -> Cause:
    """Return a cause that lies where the other side draws its flips."""
    (i, j), right = pairs[0], streams.right
    fix = f"draw it {as_drawn(right, right.draw(i, 'flip'))}"
    draw = streams.other.draw(j, "flip")
    line = draw["line"] if draw else None
    return streams.cause(where, cause, fix, pattern, "flip", line=line)


def other_draw(streams: Streams, pairs: list[tuple[int, int]], name: str) -> dict:
    """Return the arguments of the first draw that has other ones (see other_arguments)."""
    both = ((streams.right.draw(i, name), streams.other.draw(j, name)) for i, j in pairs)
    return next(filter(None, (other_arguments(*draws) for draws in both)), {})


def how_drawn(streams: Streams, pairs: list[tuple[int, int]], name: str) -> str:
    """Return words for the arguments of a draw that differ; none where none are known."""
    if streams.other.tells_draws and not any(streams.other.draw(j, name) for _, j in pairs):
        return f"; {streams.other.name}'s port tells of no such draw"
    told = tell_arguments(other_draw(streams, pairs, name))
    return f"; {told}" if told else ""


def _was_flipped(streams: Streams, sample: int) -> bool:
    draw = streams.right.draw(sample, "flip")
    if draw is not None:
        return bool(draw["result"])
    return "FLIP_LEFT_RIGHT" in streams.right.steps(sample, "transpose")


def _turn_between(
    streams: Streams, i: int, j: int, constants: Constants
) -> tuple[str | None, Line | None]:
    """Return how the other side's image is turned against the right one's, and the line of its
    numbers; None: it differs in more.
    """
    right, other = streams.right.images([i]), streams.other.images([j])
    if right.shape == other.shape:
        right = np.round(constants.to_bytes(right))
        for name, turn in TURNS.items():
            line = fit(turn(right), other)
            if line.complete:
                return name, line
    return None, None


def nearly(streams: Streams, pairs: list[tuple[int, int]], constants: Constants) -> Cause | None:
    """Return the cause where images are the same but for rounding, a few numbers, or colour."""
    i, j = pairs[0]
    right, other = streams.right.images([i]), streams.other.images([j])
    where, name = streams.right.place(i), streams.other.name
    for kind, rounded in (("float16", right.astype(np.float16)), ("bfloat16", _bfloat16(right))):
        if np.array_equal(rounded, other):
            cause = f"{name} rounds the numbers to {kind}"
            return streams.cause(where, cause, "keep float32", "float16|half", "astype|cast")
    apart = np.abs(right - other)
    differ = np.argwhere(apart > 1e-6)
    if len(differ) <= right.size / 50:
        channel, row, column = differ[0][1:]
        cause = f"{len(differ)} of {right.size} numbers differ in {name}, by {apart.max():.2g} at "
        cause += f"most; the first is of channel {CHANNELS[channel]}, row {row}, column {column}"
        fix = "leave the numbers as normalization gives them"
        return streams.cause(where, cause, fix, "normalize")
    ours, theirs = np.round(constants.to_bytes(right)[0]), constants.to_bytes(other)[0]
    off = float(np.abs(ours - theirs).max())
    if off <= 1.01:
        cause = (
            f"the pixels are up to {off:.2g} of 255 off in {name}: rounded otherwise, or decoded "
        )
        cause += "or resized by another library"
        fix = "decode and resize with Pillow, to bytes"
        return streams.cause(where, cause, fix, "round|astype|cast|imread|decode", "resize")
    if _is_recoloured(ours, theirs):
        return _colours(streams, where, ours, theirs)
    return None


def _bfloat16(values: np.ndarray) -> np.ndarray:
    bits = values.astype(np.float32).view(np.uint32)
    even = (bits >> 16) & 1
    return ((bits + 0x7FFF + even) & 0xFFFF0000).view(np.float32)


def _colours(streams: Streams, where: str, ours: np.ndarray, theirs: np.ndarray) -> Cause:
    name = streams.other.name
    values, counts = np.unique(ours, return_counts=True)
    common = values[counts.argmax()]
    becomes = theirs[ours == common].mean()
    cause = (
        f"{name} changes the colours and nothing else (brightness, contrast, gamma): {common:.0f} "
    )
    cause += f"of 255 becomes {becomes:.0f}"
    lines = ("adjust_|[Jj]itter|brightness|contrast|gamma|equalize",)
    return streams.cause(where, cause, "leave the colours as they are", *lines)


def _is_recoloured(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Return whether each byte of a channel becomes one other number, wherever it stands."""
    for x, y in zip(ours.reshape(3, -1).astype(int), theirs.reshape(3, -1), strict=True):
        count = np.bincount(x - x.min())
        mean = np.bincount(x - x.min(), y) / np.maximum(count, 1)
        if np.abs(y - mean[x - x.min()]).max() > 1.01:
            return False
    return True
