"""Runs of the scripts that fetch through torchvision, with other addresses in its classes."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from common.paths import ROOT
from tests.support.helpers import TIMEOUT, run

CLOSED = "http://127.0.0.1:9/"  # nobody answers there


def run_alone(program: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a program, a text, in a process of its own."""
    return run(sys.executable, "-c", program, **environment)


def run_forked(program: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a program in a process that has imported torchvision, which takes seconds, by a fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torchvision.datasets"])
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = context.Process(target=run_here, args=(program, said, environment))
        process.start()
        process.join(TIMEOUT)
        assert process.exitcode is not None, "it hangs"
        texts = [path.read_text() for path in said]
    return subprocess.CompletedProcess(program, process.exitcode, *texts)


def run_here(program: str, said: list[Path], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    exec(program, {"__name__": "program"})


def run_fetching(
    script: str, words: list[object], base: str, patch: str, by: Callable = run_forked
) -> subprocess.CompletedProcess:
    """Run a script of `scripts/` after the Python text `patch`, which knows `base` as BASE."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
import {script}
BASE = {base!r}
{patch}
{script}.errors.run(lambda: {script}.main({[str(word) for word in words]!r}))
"""
    return by(program, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
