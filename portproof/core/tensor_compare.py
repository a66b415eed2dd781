"""What two networks gave, layer by layer, and whether it is the same."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from portproof.core.findings import Difference, Report
from portproof.networks import layer_types
from portproof.networks.pairing import Pairs
from portproof.system.frameworks import FRAMEWORKS

DTYPES = ("float64", "float32")
# In float64 a layer's rounding is 2**-29 of what it is in float32: 53 bits of a number in place of
# 24. What float32 does to a layer is measured in the same run; SLACK is for its chance.
FINER = 2.0**-29
SLACK = 1000.0
LEAST = 2.0**-24  # the rounding of one float32 operation
MOST = 1e-4  # a layer whose float32 rounding is greater has a trouble of its own
# Paddle keeps some constants (epsilon, slopes, bounds, label smoothing) as float32, whatever the
# dtype: measured, 4e-8 for hardtanh, 3e-8 for selu. A mistake moves a layer by 1e-7 at least.
CONSTANT = 2.0**-24
COARSE = {"Hardsigmoid": 2.0**-22}  # Paddle's slope is 0.1666667, not 1/6
UNLIKE = 100.0  # times as much float32 rounding on one side: it computes in a coarser format


@dataclass
class Row:
    """A row of the table of all layers: a call on both sides, or on one without counterpart."""

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
    words = "{} in PyTorch, {} in PaddlePaddle"
    if torch.shape != paddle.shape:
        shapes = words.format(list(torch.shape), list(paddle.shape))
        return Difference(problem=f"shape {shapes}")
    if torch.dtype != paddle.dtype:
        return Difference(problem=f"dtype {words.format(torch.dtype, paddle.dtype)}")
    left, right = torch.astype(np.float64), paddle.astype(np.float64)
    usable, odd = np.isfinite(left), ~np.isfinite(right)
    if (usable == odd).any() or not np.array_equal(left[odd], right[odd], equal_nan=True):
        counts = words.format(f"{np.count_nonzero(~usable)} numbers", np.count_nonzero(odd))
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

    `runs[side][dtype]` is a worker's record, its files in `folders[side]`; `pairs` are of float64.
    """
    every = {(side, dtype): run for side in runs for dtype, run in runs[side].items()}
    rows = []
    floor = CONSTANT
    for pair in pairs:
        numbers = {side: n for side, n in zip(FRAMEWORKS, pair, strict=True) if n is not None}
        calls = {side: runs[side]["float64"]["calls"][n] for side, n in numbers.items()}
        side, call = next(iter(calls.items()))
        layers = (calls[side]["layer"] if side in calls else None for side in FRAMEWORKS)
        row = Row(*layers, layer_types.canonical_kind(side, call["kind"]))
        rows.append(row)
        if len(calls) == 2:
            files = {}
            for (side, dtype), run in every.items():  # one of them may have stopped before
                call = run["calls"][numbers[side] :][:1]
                files[side, dtype] = call[0]["outputs"] if call else []
            floor = max(floor, COARSE.get(row.kind, 0.0))
            _judge(row, folders, files, floor)
    if all(run["error"] is None for run in every.values()):
        rows.append(Row("output", "output", "the network's output"))
        files = {key: run["outputs"] for key, run in every.items()}
        _judge(rows[-1], folders, files, floor)
    return _unpair_spurious(rows)


def _judge(
    row: Row, folders: dict[str, Path], files: dict[tuple[str, str], list[str]], floor: float
) -> None:
    """Compare all tensors that a call gave, by side and dtype; the worst of them decides."""
    counts = {key: len(names) for key, names in files.items()}
    torch, paddle = ([counts[side, dtype] for dtype in DTYPES] for side in FRAMEWORKS)
    if torch != paddle:
        problem = f"{torch[0]} tensors in PyTorch, {paddle[0]} in PaddlePaddle"
        row.float64 = row.float32 = Difference(problem=problem)
        row.verdict = "differs"
        return
    row.float64 = row.float32 = Difference(0.0, 0.0, 0.0)
    row.verdict = "same"
    for number in range(torch[0]):
        paths = {key: folders[key[0]] / names[number] for key, names in files.items()}
        arrays = {key: np.load(path, mmap_mode="r") for key, path in paths.items()}
        for dtype in DTYPES:
            difference = compare(arrays["torch", dtype], arrays["paddle", dtype])
            worst = max(getattr(row, dtype), difference, key=lambda other: other.relative)
            setattr(row, dtype, worst)
        for side in FRAMEWORKS:
            double, single = (arrays[side, dtype].astype(np.float64) for dtype in DTYPES)
            row.rounding[side] = max(row.rounding.get(side, 0.0), compare(double, single).relative)
        row.shape = list(arrays["torch", "float64"].shape)
    row.expected = SLACK * FINER * min(max(LEAST, *row.rounding.values(), 0.0), MOST)
    row.tolerance = max(row.expected, floor)
    if not row.float64.relative <= row.tolerance or is_coarse(row) or row.float32.problem:
        row.verdict = "differs"


def is_coarse(row: Row) -> bool:
    """Say whether one side alone loses far more in float32 than rounding explains."""
    least, most = sorted([max(value, LEAST) for value in row.rounding.values()] or [0, 0])
    return most > MOST and most > UNLIKE * least


def _unpair_spurious(rows: list[Row]) -> list[Row]:
    """Unpair layers without weights that differ although all that comes after them is the same.

    One side may apply an activation as a function: then two layers that are none were paired.
    """
    follows_same = True
    for row in reversed(rows):
        is_free = row.kind in layer_types.AXIS_FREE and row is not rows[-1]
        if row.verdict == "differs" and follows_same and is_free:
            row.verdict = "no counterpart"
        elif row.verdict != "no counterpart":
            follows_same = row.verdict == "same"
    return rows


def as_dict(row: Row) -> Report:
    """Return a row ready for JSON, with None in place of what is not finite."""

    def numbers(difference: Difference | None) -> Report | None:
        if difference is None:
            return None
        names = {"max": "largest", "rms": "rms", "relative": "relative"}
        sizes = {key: getattr(difference, name) for key, name in names.items()}
        finite = {key: size if np.isfinite(size) else None for key, size in sizes.items()}
        return {**finite, "problem": difference.problem}

    names = ("name", "torch", "paddle", "kind", "shape", "tolerance", "verdict")
    figures = {dtype: numbers(getattr(row, dtype)) for dtype in DTYPES}
    return {name: getattr(row, name) for name in names} | figures
