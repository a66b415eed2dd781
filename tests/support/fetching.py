"""Runs of the scripts that fetch through torchvision, with other addresses in its classes."""

import subprocess
from pathlib import Path

from common.paths import ROOT
from tests.support.helpers import run, run_warm

CLOSED = "http://127.0.0.1:9/"  # nobody answers there


def run_fetching(
    script: str, words: list[object], base: str, patch: str, python: str | Path | None = None
) -> subprocess.CompletedProcess:
    """Run a script of scripts/, by default quickly, after `patch`, a text that knows BASE."""
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
    return run(python, "-c", program) if python else run_warm("torch", "-c", program)
