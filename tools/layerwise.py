"""What two networks gave, layer by layer, and whether it is the same."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tools import kinds
from tools.matching import Match, Network

# In float64 a layer's rounding is 2**-29 of what it is in float32: 53 bits of a number in place of
# 24. What float32 does to a layer is measured in the same run; SLACK is for its chance.
FINER = 2.0**-29
SLACK = 1000.0
LEAST = 2.0**-24  # the rounding of one float32 operation
MOST = 1e-4  # a layer whose float32 rounding is greater has a trouble of its own


@dataclass(frozen=True)
class Difference:
    """How far two arrays are apart. `relative` is to the largest number of torch's array."""

    largest: float
    rms: float
    relative: float
    problem: str | None = None  # why they cannot be subtracted


@dataclass
class Row:
    """One layer's call on both sides, or on one side where it has no counterpart."""

    torch: str | None  # path in the network
    paddle: str | None
    kind: str
    shape: list[int] = field(default_factory=list)
    float64: Difference | None = None
    float32: Difference | None = None
    rounding: dict[str, float] = field(default_factory=dict)  # float32 against float64, by side
    tolerance: float = 0.0
    verdict: str = "no counterpart"  # or: same, differs

    @property
    def name(self) -> str:
        return self.torch if self.torch is not None else self.paddle or ""


def compare(torch: np.ndarray, paddle: np.ndarray) -> Difference:
    """Compare two arrays strictly: same shape, same dtype, NaN and infinity in the same places."""
    nothing = Difference(float("inf"), float("inf"), float("inf"))
    if torch.shape != paddle.shape:
        problem = f"shape {list(torch.shape)} in PyTorch, {list(paddle.shape)} in PaddlePaddle"
        return Difference(nothing.largest, nothing.rms, nothing.relative, problem)
    if torch.dtype != paddle.dtype:
        problem = f"dtype {torch.dtype} in PyTorch, {paddle.dtype} in PaddlePaddle"
        return Difference(nothing.largest, nothing.rms, nothing.relative, problem)
    if torch.size == 0:
        return Difference(0.0, 0.0, 0.0)
    left, right = torch.astype(np.float64), paddle.astype(np.float64)
    usable = np.isfinite(left)
    odd = ~usable & ~np.isfinite(right)
    alike = np.array_equal(usable, np.isfinite(right))
    if not alike or not np.array_equal(left[odd], right[odd], equal_nan=True):
        problem = (
            f"NaN or infinity in unlike places: {np.count_nonzero(~usable)} numbers in PyTorch, "
            f"{np.count_nonzero(~np.isfinite(right))} in PaddlePaddle"
        )
        return Difference(nothing.largest, nothing.rms, nothing.relative, problem)
    apart = np.abs(left[usable] - right[usable])
    if apart.size == 0:
        return Difference(0.0, 0.0, 0.0)
    largest = float(apart.max())
    scale = float(np.abs(left[usable]).max()) or float(np.abs(right[usable]).max()) or 1.0
    return Difference(largest, float(np.sqrt(np.mean(apart**2))), largest / scale)


def pair_calls(
    torch_calls: list[dict], paddle_calls: list[dict], match: Match
) -> list[tuple[int | None, int | None]]:
    """Pair the calls of two runs: layers with weights by `match`, the others by kind and place.

    Returns positions in both lists, None where a call has no counterpart.
    """
    partner = {paddle: torch for torch, paddle in match.layers.items()}

    def tokens(side: str, calls: list[dict], names: dict[str, str]) -> list[tuple]:
        times: dict[tuple, int] = {}
        made = []
        for call in calls:
            name = names.get(call["layer"])
            if name is None:
                made.append(("kind", kinds.canonical_kind(side, call["kind"])))
                continue
            token = ("layer", name)
            times[token] = times.get(token, 0) + 1
            made.append((*token, times[token]))
        return made

    left = tokens("torch", torch_calls, {path: path for path in match.layers})
    right = tokens("paddle", paddle_calls, partner)
    pairs: list[tuple[int | None, int | None]] = []
    for what, i, i_end, j, j_end in difflib.SequenceMatcher(
        None, left, right, autojunk=False
    ).get_opcodes():
        plain = all(token[0] == "kind" for token in [*left[i:i_end], *right[j:j_end]])
        if what == "equal" or (what == "replace" and plain and i_end - i == j_end - j):
            pairs += zip(range(i, i_end), range(j, j_end), strict=True)
        else:
            pairs += [(n, None) for n in range(i, i_end)]
            pairs += [(None, n) for n in range(j, j_end)]
    return _pair_moved(pairs, left, right)


def _pair_moved(pairs: list, left: list[tuple], right: list[tuple]) -> list:
    """Pair layers with weights that the two networks run at different places."""
    alone = {right[j]: j for i, j in pairs if i is None and right[j][0] == "layer"}
    moved = {
        i: alone[left[i]] for i, j in pairs if j is None and i is not None and left[i] in alone
    }
    found = []
    for i, j in pairs:
        if i in moved and j is None:
            found.append((i, moved[i]))
        elif i is not None or j not in moved.values():
            found.append((i, j))
    return found


def compare_runs(
    folders: dict[str, Path], runs: dict[str, dict[str, dict]], match: Match
) -> list[Row]:
    """Compare the calls of one input, in float64 and float32; the network's outputs come last.

    `runs[side][dtype]` is what the probe recorded, its files in `folders[side]`.
    """
    calls = {side: runs[side]["float64"]["calls"] for side in runs}
    rows = []
    for i, j in pair_calls(calls["torch"], calls["paddle"], match):
        torch_call = calls["torch"][i] if i is not None else None
        paddle_call = calls["paddle"][j] if j is not None else None
        if torch_call is None or paddle_call is None:
            side, call = ("paddle", paddle_call) if torch_call is None else ("torch", torch_call)
            row = Row(None, None, kinds.canonical_kind(side, call["kind"]))
            setattr(row, side, call["layer"])
            rows.append(row)
            continue
        kind = kinds.canonical_kind("torch", torch_call["kind"])
        row = Row(torch_call["layer"], paddle_call["layer"], kind)
        places = {"torch": i, "paddle": j}
        files = {
            side: {
                dtype: _nth(runs[side][dtype]["calls"], places[side])
                for dtype in ("float64", "float32")
            }
            for side in runs
        }
        rows.append(_judge(row, folders, files))
    whole = Row("output", "output", "the network's output")
    files = {side: {d: run["outputs"] for d, run in runs[side].items()} for side in runs}
    if all(run["error"] is None for side in runs.values() for run in side.values()):
        rows.append(_judge(whole, folders, files))
    return _forgive(rows)


def _nth(calls: list[dict], place: int) -> list[str]:
    return calls[place]["outputs"] if place < len(calls) else []


def _judge(row: Row, folders: dict[str, Path], files: dict[str, dict[str, list[str]]]) -> Row:
    """Compare all tensors that a call gave; the worst of them decides."""
    numbers = {side: {d: len(names) for d, names in own.items()} for side, own in files.items()}
    if numbers["torch"] != numbers["paddle"]:
        left, right = numbers["torch"]["float64"], numbers["paddle"]["float64"]
        problem = f"{left} tensors in PyTorch, {right} in PaddlePaddle"
        row.float64 = row.float32 = Difference(*[float("inf")] * 3, problem)
        row.verdict = "differs"
        return row
    row.float64 = row.float32 = Difference(0.0, 0.0, 0.0)
    row.verdict = "same"
    for place in range(numbers["torch"]["float64"]):
        arrays = {
            (side, dtype): np.load(folders[side] / names[place], mmap_mode="r")
            for side, own in files.items()
            for dtype, names in own.items()
        }
        double = compare(arrays["torch", "float64"], arrays["paddle", "float64"])
        single = compare(arrays["torch", "float32"], arrays["paddle", "float32"])
        for side in files:
            rounded = arrays[side, "float32"].astype(np.float64)
            rounding = compare(arrays[side, "float64"].astype(np.float64), rounded).relative
            row.rounding[side] = max(row.rounding.get(side, 0.0), rounding)
        row.shape = list(arrays["torch", "float64"].shape)
        row.float64 = max(row.float64, double, key=lambda found: found.relative)
        row.float32 = max(row.float32, single, key=lambda found: found.relative)
    measured = min(max(LEAST, *row.rounding.values(), 0.0), MOST)
    row.tolerance = SLACK * FINER * measured
    if not row.float64.relative <= row.tolerance:
        row.verdict = "differs"
    return row


def _forgive(rows: list[Row]) -> list[Row]:
    """Unpair layers without weights that differ although all that comes after them is the same.

    Where one side applies an activation as a function and the other as a layer, two layers of one
    kind may have been taken for partners that are none. What follows tells.
    """
    follows_same = True
    for row in reversed(rows):
        if row.verdict == "differs" and follows_same and row.kind in PLAIN and row is not rows[-1]:
            row.verdict = "no counterpart"
        elif row.verdict != "no counterpart":
            follows_same = row.verdict == "same"
    return rows


PLAIN = {"ReLU", "ReLU6", "Dropout", "Flatten", "Identity", "SiLU", "Hardswish", "Sigmoid", "GELU"}


def differing_settings(row: Row, torch: Network, paddle: Network) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which the two layers of a row differ, torch's first."""
    if row.torch not in torch.layers or row.paddle not in paddle.layers:
        return {}
    left, right = torch.layers[row.torch][1], paddle.layers[row.paddle][1]
    return {
        name: (left.get(name), right.get(name))
        for name in [*left, *(name for name in right if name not in left)]
        if left.get(name) != right.get(name)
    }
