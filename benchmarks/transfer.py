"""Time and memory of tools/transfer_weights.py, for AlexNet's 61,100,840 parameters.

    python -m benchmarks.transfer

Makes weights from a seed, carries them in every direction, and prints for each the seconds and the
most resident memory that the tool and all its processes took together at any moment, imports
included, in megabytes and in sizes of the source. Memory that processes share counts for each.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Spent, watch
from common.paths import ROOT
from portproof.system import errors
from portproof.weights import tensors
from portproof.weights.tensors import Tensor

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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "alexnet.safetensors"
        write_weights(start)
        files = {".safetensors": start}
        print(f"{'direction':28}{'seconds':>8}{'MB':>8}{'sizes':>8}")
        for number, (source, target) in enumerate(DIRECTIONS):
            made = Path(folder) / f"{number}{target}"
            seconds, most = carry(files[source], made)
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


def write_weights(path: Path) -> None:
    """Write drawn weights as a .safetensors file."""
    tensors.write(path, draw_weights())


def carry(source: Path, target: Path) -> Spent:
    """Run the tool from file to file; return what it took. Raises UserError where it fails."""
    return watch([sys.executable, TOOL, source, target])


if __name__ == "__main__":
    errors.run(main)
