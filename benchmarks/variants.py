"""What is measured: the ways to run the project's trees, and the peer of each."""

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure, photos
from common.paths import CACHE_DIR, DATA_DIR, ROOT
from portproof.cli.options import add_number, add_path
from portproof.system import processor
from portproof.system.command_line import Parser
from portproof.system.errors import UserError

# By framework and name, options of train.py.
CACHE = ["--cache", str(CACHE_DIR / "benchmark-cache")]
SHARED = "--split-batch"  # among as many processes as cores, as scripts/train.sh --fast does
VARIANTS = {
    "torch": {
        "exact": [],
        "exact, channels last": ["--channels-last"],
        "fast": ["--fast"],
        "exact, cache": CACHE,
        "fast, cache": ["--fast", *CACHE],
    },
    "paddle": {
        "exact": [],
        "fast": ["--fast", SHARED],
        "exact, cache": CACHE,
        "fast, cache": ["--fast", SHARED, *CACHE],
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


@dataclass(frozen=True)
class Job:
    """A window of steps (benchmarks/window.py), of a tree or of its peer."""

    images: Path
    batch: int
    steps: tuple[int, int]  # to warm up, and timed
    workers: int = 0
    window: Sequence[str] = ()  # further options of the window
    settings: Mapping[str, str] = field(default_factory=dict)  # of the environment

    def words(self) -> tuple[list[object], list[object]]:
        """Return the options of the window, and those of the batches."""
        window = [*self.window, "--warm-steps", self.steps[0], "--steps", self.steps[1]]
        return window, ["--batch-size", self.batch, "--workers", self.workers]

    def run_peer(self, framework: str) -> measure.Figures:
        """Run the peer of a tree; return the figures of its window."""
        window, batches = self.words()
        command = [sys.executable, "-m", PEERS[framework][1], self.images, *batches, *window]
        return measure.run_json(command, **self.settings)

    def run_tree(
        self, framework: str, options: Sequence[object] = (), processes: int = 1
    ) -> measure.Figures:
        """Run a tree with options of train.py; return its figures, of all processes together."""
        if SHARED in options:
            processes = processor.available_cores()
        launch, settings = [sys.executable], self.settings
        with tempfile.TemporaryDirectory() as logs:
            if processes > 1:
                launch += ["-m", *LAUNCH[framework], processes]
                launch += ["--log_dir", logs] if framework == "paddle" else []
                settings = {"OMP_NUM_THREADS": "1", **settings}
            window, batches = self.words()
            command = [*launch, RUN_TREE, "--framework", framework, *window]
            command += ["--", "--data-path", self.images, *batches, *options]
            figures = measure.run_json(command, **settings)
        for name in ("images_per_s", "resident_mb"):
            figures[name] *= processes
        return figures


def known(
    framework: str, wanted: Iterable[str] | None = None, in_one_process: bool = False
) -> dict[str, list[str]]:
    """Return the options of the variants by name (None: all). Raises UserError for another one."""
    table = VARIANTS[framework]
    names = list(table if wanted is None else wanted)
    unknown = [name for name in names if name not in table]
    if unknown:
        raise UserError(f"{unknown[0]!r}: no variant of {framework}; there are {'; '.join(table)}")
    left_out = SHARED if in_one_process else None
    return {name: [word for word in table[name] if word != left_out] for name in names}


def images(data_path: Path | None, count: int) -> Path:
    """Return the folder of images: `data_path`, or one with `count` made-up photographs."""
    return data_path or photos.write(DATA_DIR / f"photos-{count}", count, min(CLASSES, count))


def add_options(parser: Parser, workers: int) -> None:
    """Add what benchmarks of reading and training have in common."""
    add_frameworks(parser)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of the trees (all)")
    add_path(parser, "--data-path", "images (made-up ones)", "DIR")
    add_number(parser, "--workers", "loader processes", workers, (0, 1000))


def add_frameworks(parser: Parser) -> None:
    names = list(PEERS)
    parser.add_argument("--framework", nargs="+", choices=names, default=names, help="(both)")
