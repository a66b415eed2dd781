"""The best rates of this machine: matrix products of a framework, and copies in memory.

They are measured between the steps of a training, in its process, with its threads and its dtype.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from portproof.system import processor

# Rows, columns, length of the sums.
SHAPES = [(1024, 1024, 1024), (2048, 2048, 2048), (2048, 4096, 2048), (4096, 1024, 4096)]
TIMES = 2  # of each shape in a row
COPIED = 128 * 2**20  # bytes, many times what a cache holds


class Rates:
    """Measures the machine after each step; a slow rate is other work's, so the best is kept."""

    def __init__(self, framework: str, dtype: str) -> None:
        self.make = torch_product if framework == "torch" else paddle_product
        self.dtype = dtype
        self.products: list[tuple[int, Callable[[], object]]] = []
        self.best: dict[str, float] = {}

    def measure(self) -> None:
        """Measure both rates."""
        if not self.products:
            for shape in SHAPES:
                product = self.make(self.dtype, *shape)
                product()  # the first is slower
                self.products.append((2 * math.prod(shape), product))
            copy_rate()  # the first touches the memory
        rates = [flops / _time(product) for flops, product in self.products * TIMES]
        for name, rate in (("product_gflops", max(rates)), ("copy_gb_per_s", copy_rate())):
            self.best[name] = max(self.best.get(name, 0.0), rate / 1e9)


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def torch_product(dtype: str, rows: int, columns: int, length: int) -> Callable[[], object]:
    """Return a call that multiplies [rows, length] by [length, columns]."""
    import torch

    left = torch.rand(rows, length).to(getattr(torch, dtype))
    right = torch.rand(columns, length).to(getattr(torch, dtype)).t()  # as of a Linear
    out = torch.empty(rows, columns, dtype=left.dtype)
    return lambda: torch.mm(left, right, out=out)


def paddle_product(dtype: str, rows: int, columns: int, length: int) -> Callable[[], object]:
    """Return a call that multiplies [rows, length] by [length, columns]."""
    import paddle

    left = paddle.rand([rows, length]).astype(dtype)
    right = paddle.rand([length, columns]).astype(dtype)
    return lambda: paddle.mm(left, right)


def copy_rate() -> float:
    """Return the bytes a second, read and written, of a copy by all cores; the best of three."""
    parts = processor.available_cores()
    sources, targets = _copied(parts)
    with ThreadPoolExecutor(parts) as pool:  # NumPy lets go of Python's lock as it copies
        seconds = min(_time(lambda: list(pool.map(np.copyto, targets, sources))) for _ in range(3))
    return 2 * COPIED / seconds


@cache
def _copied(parts: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return sources and targets of the copy, the same at every call."""
    source, target = (np.ones(COPIED // 8) for _ in range(2))
    return np.array_split(source, parts), np.array_split(target, parts)
