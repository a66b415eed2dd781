"""What several tests need: small image folders, and runs of either tree in a process of its own."""

import importlib
import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from PIL import Image

from common.data import synthetic
from portproof.system import errors
from tests.support import preloaded

FRAMEWORKS = ("torch", "paddle")
SUFFIX = {"torch": ".pth", "paddle": ".pdparams"}
Command = tuple[str, Sequence[object]]  # a module of a tree, such as predict, and its words
TIMEOUT = 300  # seconds after which a process counts as hanging


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
    options = {"env": os.environ | environment, "timeout": TIMEOUT, "capture_output": True}
    return subprocess.run([str(word) for word in command], text=True, check=False, **options)


def start(*command: object, **options: object) -> subprocess.Popen:
    """Start a command, its output as text; `options` are those of Popen."""
    return subprocess.Popen([str(word) for word in command], text=True, **options)


def wait_until(is_reached: Callable, process: subprocess.Popen | None = None, pause=0.02) -> None:
    """Wait until something is so, or a process has ended."""
    limit = time.monotonic() + TIMEOUT
    while not is_reached() and (process is None or process.poll() is None):
        assert time.monotonic() < limit, "a process hangs"
        time.sleep(pause)


def run_warm(framework: str, *words: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a Python that has the framework imported already: -c PROGRAM, -m MODULE or a file."""
    return run(preloaded.interpreter(framework), *words, **environment)


def framework_of(tree: Path) -> str:
    """Return the framework of a tree or a copy of one, AlexNet-torch or AlexNet-paddle by name."""
    name = tree.name.rpartition("-")[2]
    assert name in FRAMEWORKS, tree
    return name


def run_mains(
    tree: Path, folder: Path, *commands: Command, by: str = "tests.support.tree_commands"
) -> list[subprocess.CompletedProcess]:
    """Run commands of a tree in one process, each as alone; `folder` is for notes."""
    request, answer = folder / "request.json", folder / "answer.json"
    request.write_text(json.dumps(commands, default=str))
    assert_success(run_warm(framework_of(tree), "-m", by, tree, request, answer))
    return [subprocess.CompletedProcess(by, *run) for run in json.loads(answer.read_text())]


def call_main(name: str, *words: object) -> subprocess.CompletedProcess:
    """Call main() of a module as a program, in this process."""
    return call(importlib.import_module(name).main, [str(word) for word in words])


def call(main: Callable, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    """Call a function as a program's main(), in this process."""
    status, texts = 0, []
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            errors.run(lambda: main(*arguments, **options))
        except SystemExit as end:
            status = int(end.code or 0)
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(arguments, status, *texts)


def one_thread() -> dict[str, str]:
    """Return the environment of a process that computes in one thread, so the same each time."""
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def is_running(number: int) -> bool:
    """Say whether a process still runs, its entry in the table left or not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def assert_success(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    """Hold a run to exit status 0; return it."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def assert_user_error(done: subprocess.CompletedProcess, *words: str) -> None:
    """Hold a run to the form of a user's mistake: exit status 2, one line that has the words."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]
