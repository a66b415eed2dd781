"""What is measured: the ways to run the project's trees, and the peer of each."""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks import measure, photos
from benchmarks.measure import Contender
from common.paths import CACHE_DIR, DATA_DIR, ROOT
from common.training.args import get_args_parser
from portproof.system import processor
from portproof.system.errors import UserError

# By framework and name, options of train.py. One whose options train.py lacks is left out.
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
    """Return the variants that this train.py has, of those wanted (None: all).

    `in_one_process`: without the sharing of a batch among several.

    Raises UserError for a name that is no variant.
    """
    table = VARIANTS[framework]
    options = get_args_parser(framework)._option_string_actions
    found = {}
    for name in table if wanted is None else wanted:
        if name not in table:
            names = "; ".join(table)
            raise UserError(f"{name!r}: no variant of {framework}; there are {names}")
        lacking = [word for word in table[name] if word.startswith("--") and word not in options]
        if lacking:
            print(f"left out: {framework} {name}: train.py has no {lacking[0]}", file=sys.stderr)
        else:
            shared = ["--split-batch"] if in_one_process else []
            found[name] = [word for word in table[name] if word not in shared]
    return found


def tree(
    framework: str,
    window: list[object],
    options: list[object],
    keep: Iterable[str],
    **settings: str,
) -> Contender:
    """Return a contender that runs a tree: `window` for run_tree, `options` for train.py.

    It gives the figures named by `keep`.
    """
    processes = processor.available_cores() if "--split-batch" in options else 1

    def run() -> measure.Figures:
        figures = run_tree(framework, window, options, processes, **settings)
        return {name: figures[name] for name in keep}

    return run


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


def peer(framework: str, options: list[object], keep: Iterable[str], **settings: str) -> Contender:
    """Return a contender that runs the peer of a tree with `options`."""

    def run() -> measure.Figures:
        command = [sys.executable, "-m", PEERS[framework][1], *options]
        figures = measure.run_json(command, **settings)
        return {name: figures[name] for name in keep}

    return run


def images(given: Path | None, count: int, classes: int = CLASSES) -> Path:
    """Return the folder of images: the one given, or one with `count` made-up photographs."""
    if given:
        return given
    folder = DATA_DIR / f"photos-{count}"
    return photos.write(folder, count, min(classes, count))
