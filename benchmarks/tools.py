"""What a user waits for beside the training: the tools' commands, and the start of a run.

    python -m benchmarks.tools

    transfer_weights  a whole command, .pth to .pdparams, AlexNet's 61,100,840 parameters
    start             from the command to the first batch of a training: imports, the index of
                      100,000 files, the model, the first images; the files' names are in the
                      system's cache, after a round to warm up
    align             align.py as it runs without options; once, since it takes a minute or more

`resident_mb` is the most memory that a command and all its processes had at once; what they share
counts for each.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import limits, measure, photos, variants
from benchmarks.measure import Contender, Figures
from common.paths import DATA_DIR, ROOT
from portproof.system import errors
from portproof.system.command_line import whole
from portproof.weights import tensors

UNITS = {"seconds": "s", "resident_mb": "MB"}
PARTS = ("transfer_weights", "start", "align")
FILES, CLASSES = 100_000, 1000
# align.py keeps what one side has computed, and would not compute it again.
WITHOUT_RECORDS = """
import sys
from dataclasses import replace
from pathlib import Path
from tools.project import PROJECT
from portproof.cli import align
from portproof.system import errors
project = replace(PROJECT, records=Path(sys.argv[1]))
errors.run(lambda: align.main(sys.argv[2:], project))
"""
ALIGN_QUICK = ["--only", "lr,metric"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = measure.parser("tools", __doc__, repeats=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="(all)")
    parser.add_argument("--files", type=whole(CLASSES), default=FILES, help=f"({FILES})")
    args = measure.parse(parser, argv)
    rounds: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        often: dict[str, Contender] = {}
        if "transfer_weights" in args.only:
            often["transfer_weights"] = carry(Path(temporary))
        if "start" in args.only:
            files = min(args.files, 2000) if args.quick else args.files
            folder = photos.write_small(DATA_DIR / f"small-{files}", files, CLASSES)
            for framework in variants.PEERS:
                often[f"{framework} start, {files} files"] = start(framework, folder)
        rounds |= measure.interleave(often, args.repeats, warm_ups=0 if args.quick else 1)
        if "align" in args.only:
            options = ALIGN_QUICK if args.quick else []
            rounds |= measure.interleave({"align": align(options)}, repeats=1)
    measure.write(args.output_dir, "tools", "Tools and start", measure.summarize(rounds, UNITS))


def carry(folder: Path) -> Contender:
    """Return a contender that carries weights from torch to Paddle, the whole command."""
    neutral, source = folder / "alexnet.safetensors", folder / "alexnet.pth"
    tensors.write(neutral, draw_weights())
    command = [sys.executable, ROOT / "tools" / "transfer_weights.py"]
    measure.watch([*command, neutral, source])

    def run() -> Figures:
        target = folder / "alexnet.pdparams"
        target.unlink(missing_ok=True)
        return measure.watch([*command, source, target])

    return run


def draw_weights() -> tensors.Tensors:
    """Return float32 weights with AlexNet's keys and shapes."""
    generator = np.random.default_rng(0)
    drawn = {}
    for layer in limits.alexnet():
        for name, shape in (("weight", layer.shape), ("bias", (layer.biases,))):
            array = generator.standard_normal(shape, np.float32)
            drawn[f"{layer.name}.{name}"] = tensors.from_array(array)
    return drawn


def start(framework: str, folder: Path) -> Contender:
    """Return a contender that starts a training, up to its first batch."""
    window = ["--warm-steps", 0, "--steps", 1]
    options = ["--data-path", folder, "--batch-size", 32, "--workers", 2]
    begin = variants.tree(framework, window, options)

    def run() -> Figures:
        began = time.time()
        figures = begin()
        return figures | {"seconds": figures["ready_at"] - began}

    return run


def align(options: list[str]) -> Contender:
    """Return a contender that runs align.py where nothing was kept from an earlier run."""

    def run() -> Figures:
        with tempfile.TemporaryDirectory() as kept:
            return measure.watch([sys.executable, "-c", WITHOUT_RECORDS, kept, *options])

    return run


if __name__ == "__main__":
    errors.run(main)
