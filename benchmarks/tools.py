"""What a user waits for beside the training: the tools' commands, and the start of a run.

    python -m benchmarks.tools

    transfer_weights  a whole command, .pth to .pdparams, AlexNet's 61,100,840 parameters
    start             from the command to the first batch of a training: imports, the index of
                      100,000 files (their names in the system's cache), the model, the first images
    align             align.py as it runs without options; once, since it takes a minute or more

`resident_mb` is the most memory that a command and all its processes had at once; what they share
counts for each.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import limits, measure, photos, variants
from benchmarks.measure import Contender, Figures
from common.paths import DATA_DIR, ROOT
from portproof.cli.options import add_number
from portproof.system import errors
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
    add_number(parser, "--files", "of the folder", FILES, (CLASSES, 1_000_000))
    args = measure.parse(parser, argv)
    with tempfile.TemporaryDirectory() as temporary:
        often: dict[str, Contender] = {}
        if "transfer_weights" in args.only:
            source = draw_weights(Path(temporary))
            often["transfer_weights"] = partial(carry, source, source.with_suffix(".pdparams"))
        if "start" in args.only:
            files = min(args.files, 2000) if args.quick else args.files
            folder = photos.write_small(DATA_DIR / f"small-{files}", files, CLASSES)
            for framework in variants.PEERS:
                often[f"{framework} start, {files} files"] = partial(start, framework, folder)
        rounds = measure.interleave(often, args.repeats, warm_ups=0 if args.quick else 1)
        if "align" in args.only:
            run = partial(align, ALIGN_QUICK if args.quick else [])
            rounds |= measure.interleave({"align": run}, repeats=1)
    measure.write(args.output_dir, "tools", "Tools and start", measure.summarize(rounds, UNITS))


def carry(source: Path, target: Path) -> Figures:
    """Carry weights to another kind of file."""
    target.unlink(missing_ok=True)
    return measure.watch([sys.executable, ROOT / "tools" / "transfer_weights.py", source, target])


def draw_weights(folder: Path) -> Path:
    """Write a .pth of float32 weights with AlexNet's keys and shapes."""
    generator = np.random.default_rng(0)
    drawn = {}
    for row in limits.ALEXNET:
        for name, shape in (("weight", row.weights), ("bias", row.weights[:1])):
            array = generator.standard_normal(shape, np.float32)
            drawn[f"{row.layer.name}.{name}"] = tensors.from_array(array)
    neutral, file = folder / "alexnet.safetensors", folder / "alexnet.pth"
    tensors.write(neutral, drawn)
    carry(neutral, file)
    return file


def start(framework: str, folder: Path) -> Figures:
    """Start a training, up to its first batch."""
    job = variants.Job(folder, batch=32, steps=(0, 1), workers=2)
    began = time.time()
    figures = job.run_tree(framework)
    return figures | {"seconds": figures["ready_at"] - began}


def align(options: list[str]) -> Figures:
    """Run align.py where nothing was kept from an earlier run."""
    with tempfile.TemporaryDirectory() as kept:
        return measure.watch([sys.executable, "-c", WITHOUT_RECORDS, kept, *options])


if __name__ == "__main__":
    errors.run(main)
