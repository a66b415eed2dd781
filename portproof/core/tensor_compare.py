"""What two networks gave, layer by layer, and whether it is the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from portproof.core.findings import Difference
from portproof.networks import layer_types
from portproof.networks.pairing import Pairs

# In float64 a layer's rounding is 2**-29 of what it is in float32: 53 bits of a number in place of
# 24. What float32 does to a layer is measured in the same run; SLACK is for its chance.
FINER = 2.0**-29
SLACK = 1000.0
LEAST = 2.0**-24  # the rounding of one float32 operation
MOST = 1e-4  # a layer whose float32 rounding is greater has a trouble of its own
# Paddle keeps some constants of its layers (epsilon, slopes, bounds) as float32, whatever the dtype
# of the numbers: measured, 4e-8 for hardtanh, 3e-8 for selu, 1e-8 for batch_norm. A mistake moves a
# layer by 1e-7 at the very least, mostly by far more.
CONSTANT = 2.0**-24
COARSE = {"Hardsigmoid": 2.0**-22}  # Paddle's slope is 0.1666667, not 1/6
UNLIKE = 100.0  # times as much float32 rounding on one side: it computes in a coarser format


@dataclass
class Row:
    """One layer's call on both sides, or on one side where it has no counterpart.

    A row of the table of all layers, those that are the same among them.
    """

    torch: str | None  # path in the network
    paddle: str | None
    kind: str
    shape: list[int] = field(default_factory=list)
    float64: Difference | None = None
    float32: Difference | None = None
    rounding: dict[str, float] = field(default_factory=dict)  # float32 against float64, by side
    expected: float = 0.0  # relative difference in float64 that rounding explains
    tolerance: float = 0.0  # ... and that is no fault
    verdict: str = "no counterpart"  # or: same, differs

    @property
    def name(self) -> str:
        return self.torch if self.torch is not None else self.paddle or ""


def compare(torch: np.ndarray, paddle: np.ndarray) -> Difference:
    """Compare two arrays strictly: same shape, same dtype, NaN and infinity in the same places."""
    if torch.shape != paddle.shape:
        shapes = f"{list(torch.shape)} in PyTorch, {list(paddle.shape)} in PaddlePaddle"
        return Difference(problem=f"shape {shapes}")
    if torch.dtype != paddle.dtype:
        dtypes = f"{torch.dtype} in PyTorch, {paddle.dtype} in PaddlePaddle"
        return Difference(problem=f"dtype {dtypes}")
    if torch.size == 0:
        return Difference(0.0, 0.0, 0.0)
    left, right = torch.astype(np.float64), paddle.astype(np.float64)
    usable = np.isfinite(left)
    odd = ~usable & ~np.isfinite(right)
    alike = np.array_equal(usable, np.isfinite(right))
    if not alike or not np.array_equal(left[odd], right[odd], equal_nan=True):
        counts = f"{np.count_nonzero(~usable)} numbers in PyTorch, "
        counts += f"{np.count_nonzero(~np.isfinite(right))} in PaddlePaddle"
        return Difference(problem=f"NaN or infinity in unlike places: {counts}")
    gaps = np.abs(left[usable] - right[usable])
    if gaps.size == 0:
        return Difference(0.0, 0.0, 0.0)
    largest = float(gaps.max())
    scale = float(np.abs(left[usable]).max()) or float(np.abs(right[usable]).max()) or 1.0
    return Difference(largest, float(np.sqrt(np.mean(gaps**2))), largest / scale)


def compare_runs(
    folders: dict[str, Path], runs: dict[str, dict[str, dict]], pairs: Pairs
) -> list[Row]:
    """Compare the calls of one input, in float64 and float32; the network's outputs come last.

    `runs[side][dtype]` is what a worker recorded, its files in `folders[side]`; `pairs` is what
    `pair_calls` made of the calls in float64.
    """
    calls = {side: runs[side]["float64"]["calls"] for side in runs}
    rows = []
    floor = CONSTANT
    for i, j in pairs:
        if i is None or j is None:
            side, place = ("paddle", j) if i is None else ("torch", i)
            call = calls[side][place]
            row = Row(None, None, layer_types.canonical_kind(side, call["kind"]))
            setattr(row, side, call["layer"])
            rows.append(row)
            continue
        torch_call, paddle_call = calls["torch"][i], calls["paddle"][j]
        kind = layer_types.canonical_kind("torch", torch_call["kind"])
        row = Row(torch_call["layer"], paddle_call["layer"], kind)
        places = {"torch": i, "paddle": j}
        files = {
            side: {dtype: _nth(own[dtype]["calls"], places[side]) for dtype in own}
            for side, own in runs.items()
        }
        floor = max(floor, COARSE.get(kind, 0.0))
        rows.append(_judge(row, folders, files, floor))
    if all(run["error"] is None for side in runs.values() for run in side.values()):
        whole = Row("output", "output", "the network's output")
        files = {side: {d: run["outputs"] for d, run in own.items()} for side, own in runs.items()}
        rows.append(_judge(whole, folders, files, floor))
    return _unpair_spurious(rows)


def _nth(calls: list[dict], place: int) -> list[str]:
    return calls[place]["outputs"] if place < len(calls) else []


def _judge(
    row: Row, folders: dict[str, Path], files: dict[str, dict[str, list[str]]], floor: float
) -> Row:
    """Compare all tensors that a call gave; the worst of them decides."""
    counts = {side: {d: len(names) for d, names in own.items()} for side, own in files.items()}
    if counts["torch"] != counts["paddle"]:
        left, right = counts["torch"]["float64"], counts["paddle"]["float64"]
        problem = f"{left} tensors in PyTorch, {right} in PaddlePaddle"
        row.float64 = row.float32 = Difference(problem=problem)
        row.verdict = "differs"
        return row
    row.float64 = row.float32 = Difference(0.0, 0.0, 0.0)
    row.verdict = "same"
    for place in range(counts["torch"]["float64"]):
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
    row.expected = SLACK * FINER * measured
    row.tolerance = max(row.expected, floor)
    if not row.float64.relative <= row.tolerance or is_coarse(row) or row.float32.problem:
        row.verdict = "differs"
    return row


def is_coarse(row: Row) -> bool:
    """Say whether one side alone loses far more in float32 than rounding explains."""
    least, most = sorted([max(value, LEAST) for value in row.rounding.values()] or [0, 0])
    return most > MOST and most > UNLIKE * least


def _unpair_spurious(rows: list[Row]) -> list[Row]:
    """Unpair layers without weights that differ although all that comes after them is the same.

    Where one side applies an activation as a function and the other as a layer, two layers of one
    kind may have been taken for partners that are none. What follows tells.
    """
    follows_same = True
    for row in reversed(rows):
        if (
            row.verdict == "differs"
            and follows_same
            and row.kind in layer_types.AXIS_FREE
            and row is not rows[-1]
        ):
            row.verdict = "no counterpart"
        elif row.verdict != "no counterpart":
            follows_same = row.verdict == "same"
    return rows


def as_dict(row: Row) -> dict[str, Any]:
    """Return a row ready for JSON, with None in place of what is not finite."""

    def numbers(found: Difference | None) -> dict[str, Any] | None:
        if found is None:
            return None
        values = {"max": found.largest, "rms": found.rms, "relative": found.relative}
        finite = {k: v if np.isfinite(v) else None for k, v in values.items()}
        return {**finite, "problem": found.problem}

    return {
        "name": row.name,
        "torch": row.torch,
        "paddle": row.paddle,
        "kind": row.kind,
        "shape": row.shape,
        "float64": numbers(row.float64),
        "float32": numbers(row.float32),
        "tolerance": row.tolerance,
        "verdict": row.verdict,
    }
