"""Runs of the scripts that fetch through torchvision, with other addresses in its classes."""

import subprocess
import sys
from collections.abc import Callable

from common.paths import ROOT
from tests.support.helpers import run, run_warm

CLOSED = "http://127.0.0.1:9/"  # nobody answers there


def run_alone(program: str) -> subprocess.CompletedProcess:
    """Run a program, a text, as a user does."""
    return run(sys.executable, "-c", program)


def run_forked(program: str) -> subprocess.CompletedProcess:
    """Run a program in a process that has imported torchvision, which takes seconds."""
    return run_warm("torch", "-c", program)


def run_fetching(
    script: str, words: list[object], base: str, patch: str, by: Callable = run_forked
) -> subprocess.CompletedProcess:
    """Run a script of `scripts/` after the Python text `patch`, which knows `base` as BASE."""
    program = f"""
import os
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
import {script}
BASE = {base!r}
{patch}
{script}.errors.run(lambda: {script}.main({[str(word) for word in words]!r}))
"""
    return by(program)
