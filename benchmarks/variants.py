"""What is measured: the ways to run the project's trees, and the peer of each."""

import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks import measure, photos
from benchmarks.measure import Contender
from common.paths import CACHE_DIR, DATA_DIR, ROOT
from portproof.system import processor
from portproof.system.command_line import Parser, whole
from portproof.system.errors import UserError

# By framework and name, options of train.py.
CACHE = ["--cache", str(CACHE_DIR / "benchmark-cache")]
VARIANTS = {
    "torch": {
        "exact": [],
        "exact, channels last": ["--channels-last"],
        "fast": ["--fast"],
        "exact, cache": [*CACHE],
        "fast, cache": ["--fast", *CACHE],
    },
    "paddle": {
        "exact": [],
        # As scripts/train.sh --fast runs it on a processor: as many processes as cores.
        "fast": ["--fast", "--split-batch"],
        "exact, cache": [*CACHE],
        "fast, cache": ["--fast", "--split-batch", *CACHE],
    },
}
LAUNCH = {
    "torch": ["torch.distributed.run", "--standalone", "--nproc-per-node"],
    "paddle": ["paddle.distributed.launch", "--nproc_per_node"],
}
ARITHMETIC_ALONE = ("exact, channels last",)  # their loader is that of exact
PEERS = {
    "torch": ("torchvision's reference", "benchmarks.peers.torchvision_reference"),
    "paddle": ("Paddle as installed", "benchmarks.peers.paddle_forerunner"),
}
CLASSES = 100
RUN_TREE = ROOT / "benchmarks" / "run_tree.py"


def known(
    framework: str, wanted: Iterable[str] | None = None, in_one_process: bool = False
) -> dict[str, list[str]]:
    """Return the options of the variants that are wanted (None: all), by name.

    `in_one_process`: without the sharing of a batch among several.

    Raises UserError for a name that is no variant.
    """
    table = VARIANTS[framework]
    unknown = [name for name in wanted or () if name not in table]
    if unknown:
        raise UserError(f"{unknown[0]!r}: no variant of {framework}; there are {'; '.join(table)}")
    shared = ["--split-batch"] if in_one_process else []
    return {
        name: [word for word in table[name] if word not in shared]
        for name in (table if wanted is None else wanted)
    }


def tree(framework: str, window: list[object], options: list[object], **settings: str) -> Contender:
    """Return a contender that runs a tree: `window` for run_tree, `options` for train.py."""
    processes = processor.available_cores() if "--split-batch" in options else 1
    return partial(run_tree, framework, window, options, processes, **settings)


def peer(framework: str, options: list[object], **settings: str) -> Contender:
    """Return a contender that runs the peer of a tree with `options`."""
    command = [sys.executable, "-m", PEERS[framework][1], *options]
    return partial(measure.run_json, command, **settings)


def run_tree(
    framework: str, window: list[object], options: list[object], processes: int, **settings: str
) -> measure.Figures:
    """Run a tree in so many processes; return the figures of its window, those of all together."""
    launch = [sys.executable]
    with tempfile.TemporaryDirectory() as logs:
        if processes > 1:
            launch += ["-m", *LAUNCH[framework], processes]
            launch += ["--log_dir", logs] if framework == "paddle" else []
            settings = {"OMP_NUM_THREADS": "1", **settings}
        command = [*launch, RUN_TREE, "--framework", framework, *window, "--", *options]
        figures = measure.run_json(command, **settings)
    for name in ("images_per_s", "resident_mb"):
        figures[name] *= processes
    return figures


def images(data_path: Path | None, count: int) -> Path:
    """Return the folder of images: `data_path`, or one with `count` made-up photographs."""
    return data_path or photos.write(DATA_DIR / f"photos-{count}", count, min(CLASSES, count))


def add_options(parser: Parser, workers: int) -> None:
    """Add what benchmarks of reading and training have in common."""
    add_frameworks(parser)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of the trees (all)")
    parser.add_argument("--data-path", type=Path, metavar="DIR", help="images (made-up ones)")
    parser.add_argument(
        "--workers", type=whole(0), default=workers, help=f"loader processes ({workers})"
    )


def add_frameworks(parser: Parser) -> None:
    names = list(PEERS)
    parser.add_argument("--framework", nargs="+", choices=names, default=names, help="(both)")
