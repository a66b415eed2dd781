"""What this machine's processor is, and the settings that make a run fast on it."""

import io
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, str, set[str]]:
    """Return the processor's vendor, model name and instruction flags; empty where unknown."""
    fields: dict[str, str] = {}
    with suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            name, _, text = line.partition(":")
            fields.setdefault(name.strip(), text.strip())
    model = fields.get("model name", platform.processor())
    return fields.get("vendor_id", ""), model, set(fields.get("flags", "").split())


def has_bf16() -> bool:
    """Say whether this processor multiplies bf16 numbers in hardware."""
    return not describe()[2].isdisjoint({"avx512_bf16", "amx_bf16"})


def mkl_type(vendor: str, flags: set[str]) -> str | None:
    """Return the MKL_DEBUG_CPU_TYPE to set, or None to leave the choice to MKL.

    The old MKL of Paddle's CPU wheel takes its slowest kernels on other processors than Intel's.
    Type 5 is AVX2, type 7 AVX-512 as since Skylake-SP (both seen to work; type 8 crashes).
    """
    if vendor == "GenuineIntel" or not {"avx2", "fma"} <= flags:
        return None
    return "7" if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags else "5"


@contextmanager
def paddle_settings() -> Iterator[None]:
    """Set Paddle's threads and MKL kernels, unless the user has; paddle is imported within."""
    vendor, _, flags = describe()
    os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))
    kind = mkl_type(vendor, flags)
    if kind:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", kind)
    # Paddle looks for a compiler cache as it is imported; nothing here compiles.
    warnings.filterwarnings("ignore", message="No ccache found")
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    finally:
        for line in said.getvalue().splitlines():
            if "OMP_NUM_THREADS" not in line:  # it warns of every number of threads but one
                print(line, file=sys.stderr)
