"""What several tests need: small image folders, and runs of either tree in a process of its own."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from common.data import synthetic
from common.paths import ROOT
from tests.support import warm

FRAMEWORKS = ("torch", "paddle")
SUFFIX = {"torch": ".pth", "paddle": ".pdparams"}
TIMEOUT = 300  # seconds after which a process counts as hanging
# A training of one epoch, on the images of make_folder, that takes a second or two.
TINY = [
    "--recipe", "sample", "--image-size", 63, "--batch-size", 6, "--workers", 0,
    "--epochs", 1, "--warmup-epochs", 0,
]  # fmt: skip


def make_folder(path: Path, classes: int = 3, train: int = 6, val: int = 4) -> Path:
    """Write a small image folder: real JPEG files of 100 pixels, odd ones out in size."""
    for split, count in (("train", train), ("val", val)):
        for name in synthetic.CLASSES[:classes]:
            folder = path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(synthetic.draw_image(1, split, name, number))
                image = image.resize((100 + 7 * number, 90))
                image.save(folder / f"{number}.jpg", quality=90)
    return path


def run(*command: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a command to its end, its output as text."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=os.environ | environment,
        check=False,
    )


def run_warm(framework: str, *words: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a Python that has the framework imported already: -c PROGRAM, -m MODULE or a file."""
    return run(warm.interpreter(framework), *words, **environment)


def framework_of(tree: Path) -> str:
    """Return the framework of a tree or a copy of one, AlexNet-torch or AlexNet-paddle by name."""
    name = tree.name.rpartition("-")[2]
    assert name in FRAMEWORKS, tree
    return name


def one_thread() -> dict[str, str]:
    """Return the environment of a process that computes in one thread, so the same each time."""
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run_train(
    framework: str, *options: object, tree: Path | None = None, **environment: str
) -> subprocess.CompletedProcess:
    """Run train.py of one tree, or of a copy of it."""
    tree = tree or ROOT / f"AlexNet-{framework}"
    return run_warm(framework, tree / "train.py", *options, **environment)


def run_train_changed(
    framework: str, change: str, *options: object, tree: Path, **environment: str
) -> subprocess.CompletedProcess:
    """Run train.py of a tree in a process in which the Python text `change` has run before."""
    program = f"""
import sys
sys.path.insert(0, {str(tree)!r})
{change}
import train
train.errors.run(lambda: train.main({[str(option) for option in options]!r}))
"""
    return run_warm(framework, "-c", program, **environment)


def run_parts(
    framework: str, out_dir: Path, *options: object, tree: Path | None = None, **parts: dict
) -> dict[str, dict]:
    """Run parts of one tree or a copy (tests/support/tree_parts.py); return the arrays of each."""
    out_dir.mkdir(parents=True, exist_ok=True)
    request = out_dir / "request.json"
    words = [str(option) for option in options]
    request.write_text(json.dumps({"arguments": words, **parts}, default=str))
    tree = tree or ROOT / f"AlexNet-{framework}"
    assert_success(run_warm(framework, "-m", "tests.support.tree_parts", tree, request, out_dir))
    recorded = {}
    for part in parts:
        with np.load(out_dir / f"{part}.npz") as arrays:
            recorded[part] = dict(arrays)
    return recorded


def is_running(number: int) -> bool:
    """Say whether a process still runs, its entry in the table left or not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def read_metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_success(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    """Hold a run to exit status 0; return it."""
    assert done.returncode == 0, done.stderr
    return done


def assert_user_error(done: subprocess.CompletedProcess, *words: str) -> None:
    """Hold a run to the form of a user's mistake: exit status 2, one line that has the words."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]
