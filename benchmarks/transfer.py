"""Time and memory of tools/transfer_weights.py, for AlexNet's 61,100,840 parameters.

    python -m benchmarks.transfer

Makes weights from a seed, carries them in every direction, and prints for each the seconds and the
most resident memory that the tool and all its processes took together at any moment, imports
included, in megabytes and in sizes of the source. Memory that processes share counts for each.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from common.paths import ROOT
from tools import tensors
from tools.tensors import Tensor

TOOL = ROOT / "tools" / "transfer_weights.py"
SHAPES = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}
DIRECTIONS = [
    (".safetensors", ".pth"),
    (".pth", ".pdparams"),
    (".pdparams", ".pth"),
    (".safetensors", ".pdparams"),
    (".pth", ".safetensors"),
    (".pdparams", ".safetensors"),
]
INTERVAL = 0.01  # seconds between two looks at the memory


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "alexnet.safetensors"
        tensors.write(start, draw_weights())
        files = {".safetensors": start}
        print(f"{'direction':28}{'seconds':>8}{'MB':>8}{'sizes':>8}")
        for number, (source, target) in enumerate(DIRECTIONS):
            made = Path(folder) / f"{number}{target}"
            seconds, most = measure([sys.executable, TOOL, files[source], made])
            size = files[source].stat().st_size
            name = f"{source} -> {target}"
            print(f"{name:28}{seconds:8.1f}{most / 1e6:8.0f}{most / size:8.2f}", flush=True)
            if target in files:
                made.unlink()
            else:
                files[target] = made


def draw_weights() -> tensors.Tensors:
    """Return float32 weights with AlexNet's keys and shapes."""
    generator = np.random.default_rng(0)
    drawn = {}
    for name, shape in SHAPES.items():
        drawn[f"{name}.weight"] = generator.standard_normal(shape, np.float32)
        drawn[f"{name}.bias"] = generator.standard_normal(shape[0], np.float32)
    return {name: Tensor("F32", array) for name, array in drawn.items()}


def measure(command: list) -> tuple[float, int]:
    """Run a command; return its seconds, and the most bytes that it and its children took at once.

    Linux only. Raises CalledProcessError where the command fails.
    """
    started, most = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(INTERVAL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - started, most


def resident(pid: int) -> int:
    """Return the resident memory of a process and all that it started, in bytes."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [word for task in threads for word in (task / "children").read_text().split()]
    except (OSError, IndexError):  # it has ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


if __name__ == "__main__":
    main()
