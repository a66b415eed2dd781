"""What one array is of another that it should equal: reversed, scaled, clipped, in another order.

Each rule looks at `right` as something that a known mistake makes of `left`, and says so in words.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy.special import softmax

CLOSE = 1e-9  # relative to the largest number; both arrays are float64


def explain(left: np.ndarray, right: np.ndarray) -> str | None:
    """Return what `right` is of `left`, for "it is", or None. Both float64, of any shapes."""
    if not np.isfinite(left).all():
        return None
    if not np.isfinite(right).all():
        return f"NaN or infinite in {np.count_nonzero(~np.isfinite(right))} places"
    if left.shape != right.shape:
        return _other_shape(left, right)
    if same(left, right):
        return None  # too little for any of these
    rules = (_order, _clipping, _scale, _functions, _border, _dropped, _channels)
    return next(itertools.chain.from_iterable(rule(left, right) for rule in rules), None)


def explain_order(left: np.ndarray, right: np.ndarray) -> str | None:
    """Return how `right` holds the numbers of `left` in another order or scale, or None."""
    if left.shape != right.shape:
        return _other_shape(left, right)
    return next(itertools.chain(_order(left, right), _scale(left, right)), None)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Say whether two arrays are the same but for rounding."""
    if left.shape != right.shape:
        return False
    scale = max(float(np.abs(left).max(initial=0)), float(np.abs(right).max(initial=0)))
    return bool(np.abs(left - right).max(initial=0) <= CLOSE * scale)


def _other_shape(left: np.ndarray, right: np.ndarray) -> str | None:
    if turned := next(_axes(left, right), None):
        return turned
    if left.size == right.size and same(left.reshape(right.shape), right):
        return f"the same numbers in the shape {list(right.shape)}, not {list(left.shape)}"
    return None


def _order(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    names = {0: "samples", 1: "channels", 2: "rows", 3: "columns"}
    for axis in range(left.ndim):
        if same(np.flip(left, axis), right):
            order = " (RGB against BGR)" if axis == 1 and left.shape[1] == 3 else ""
            yield f"the same numbers with the {names.get(axis, 'last axis')} reversed{order}"
    yield from _axes(left, right)
    if same(np.sort(left, axis=None), np.sort(right, axis=None)):
        yield "the same numbers in another order (a flatten, reshape or transpose goes otherwise)"


def _axes(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    for axes in itertools.permutations(range(left.ndim)) if left.ndim == right.ndim <= 4 else ():
        if same(left.transpose(axes), right):
            yield f"the same numbers with the axes in the order {list(axes)}"


def _clipping(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    if same(np.maximum(left, 0), right):
        yield "its positive part: a ReLU that PyTorch has not"
    if same(left, np.maximum(right, 0)):
        yield "what stands before a ReLU: the ReLU is missing"
    low, high = right.min(initial=np.inf), right.max(initial=-np.inf)
    if same(np.clip(left, low, high), right):
        bounds = {low: left.min(), high: left.max()}
        moved = " and ".join(f"{new:.6g}" for new, old in bounds.items() if new != old)
        yield f"clipped at {moved}"
    negative = left < 0
    if negative.any() and same(left[~negative], right[~negative]):
        slope = np.median(right[negative] / left[negative])
        if same(left[negative] * slope, right[negative]):
            yield f"multiplied by {slope:.6g} where it is negative (another slope)"


def _scale(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    large = np.abs(left) > 1e-3 * np.abs(left).max(initial=0)
    if not large.any():
        return
    factor = float(np.median(right[large] / left[large]))
    if factor and same(left * factor, right):
        yield f"multiplied by {factor:.9g}"
    offset = float(np.median(right - left))
    if offset and same(left + offset, right):
        yield f"larger by {offset:.6g} everywhere"


def roundings(array: np.ndarray) -> dict[str, np.ndarray]:
    """Return what coarser formats make of the numbers, as float64."""
    single = array.astype(np.float32)
    bits = single.view(np.uint32)
    brain = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)  # to the nearest even
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    formats = {"float32": single, "float16": half, "bfloat16": brain.view(np.float32)}
    return {name: rounded.astype(np.float64) for name, rounded in formats.items()}


def explain_sum(left: np.ndarray, right: np.ndarray, others: dict[str, np.ndarray]) -> str | None:
    """Return which of `others` was added to or taken from `left` to make `right`, or None."""
    if left.shape != right.shape or not np.isfinite(right).all():
        return None
    gap = right - left
    for name, other in others.items():
        square = float((other**2).sum()) if other.shape == gap.shape else 0.0
        factor = float((gap * other).sum()) / square if square else 0.0
        if factor and same(other * factor, gap):
            times = "" if abs(abs(factor) - 1) < CLOSE else f"{abs(factor):.6g} times "
            return f"the same {'plus' if factor > 0 else 'minus'} {times}{name}"
    return None


def explain_linear(
    inputs: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, right: np.ndarray
) -> str | None:
    """Return how a fully connected layer with torch's [out, in] `weight` comes to give `right`."""
    bias = np.zeros(len(weight)) if bias is None else bias
    ways = {
        "without its bias": (weight.T, 0),
        "with its bias added twice": (weight.T, 2),
        "with its weight transposed": (weight, 1),
        "with its weight transposed and without its bias": (weight, 0),
    }
    for words, (matrix, times) in ways.items():
        fits = inputs.shape[-1] == len(matrix) and matrix.shape[1] == len(bias)
        if fits and same(inputs @ matrix + times * bias, right):
            return f"what the layer gives {words}"
    return None


def _functions(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    formats = roundings(np.ascontiguousarray(left))
    made = {f"rounded to {name}": rounded for name, rounded in formats.items()}
    if left.ndim > 1:
        shares = softmax(left, axis=1)
        end = "of it, which PyTorch does not take here"
        made[f"a softmax {end}"] = shares
        made[f"a log-softmax {end}"] = np.log(np.maximum(shares, 1e-300))
        with np.errstate(over="ignore"):
            made[f"a sigmoid {end}"] = 1 / (1 + np.exp(-left))
        made[f"a tanh {end}"] = np.tanh(left)
    for name, array in made.items():
        if same(array, right):
            yield name


def _dropped(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    for kept, whole, where in ((right, left, "here"), (left, right, "in PyTorch")):
        zero = (kept == 0) & (whole != 0)
        share = np.count_nonzero(zero) / max(np.count_nonzero(whole), 1)
        rest = (kept != 0) & (whole != 0)
        if 0.02 < share < 0.98 and rest.any():
            factor = float(np.median(kept[rest] / whole[rest]))
            if same(whole[rest] * factor, kept[rest]):
                numbers = f"with {100 * share:.0f} % of the numbers set to 0"
                yield f"{numbers} {where}: dropout is active"


def _channels(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    """Look for a factor or an offset of each channel (axis 1)."""
    if left.ndim < 2 or left.shape[1] < 2 or left.size // left.shape[1] < 3:
        return
    left, right = (np.moveaxis(a, 1, 0).reshape(a.shape[1], -1) for a in (left, right))  # [C, rest]
    offsets = np.median(right - left, axis=1, keepdims=True)
    if same(left + offsets, right):
        yield "off by a constant in each channel (a bias or a mean)"
    left, offset = left - left.mean(axis=1, keepdims=True), right.mean(axis=1, keepdims=True)
    spread = left.std(axis=1, keepdims=True)
    if (spread > 0).all():
        factors = right.std(axis=1, keepdims=True) / spread
        if same(left * factors + offset, right):
            span = f"{factors.min():.6g} to {factors.max():.6g}"
            words = f"off by a factor and an offset in each channel (factors {span})"
            yield f"{words}: normalized otherwise"


def _border(left: np.ndarray, right: np.ndarray) -> Iterator[str]:
    if left.ndim != 4 or min(left.shape[2:]) < 3:
        return
    inner = (..., slice(1, -1), slice(1, -1))
    if same(left[inner], right[inner]):
        yield "other at the border alone: the padding, or how it is counted"
