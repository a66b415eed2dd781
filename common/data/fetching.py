"""Fetching through torchvision, in a process of its own: the one that asks may be Paddle's."""

import os
import subprocess
import sys

from common.paths import ROOT
from portproof.system.errors import BAD_INPUT, UserError, explained


def run(what: str, script: str, *words: object) -> None:
    """Run a script of `scripts/` that fetches `what`, by TORCH_PYTHON where that is set.

    Raises UserError where it fails, or leaves with exit status 2 where it has said why.
    """
    python = os.environ.get("TORCH_PYTHON") or sys.executable
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [python, str(ROOT / "scripts" / script), *map(str, words)]
    advice = "name the Python that has torchvision"
    with explained(f"TORCH_PYTHON={python}: cannot be run", advice, OSError):
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": search}, check=False)
    if done.returncode == BAD_INPUT:
        sys.exit(BAD_INPUT)
    if done.returncode:
        raise UserError(f"{what} was not fetched (reason above)")
