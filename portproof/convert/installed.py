"""Which names of Paddle the installed Paddle has: asked in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from portproof.convert.source import Finding, Place, Source
from portproof.convert.texts import python_files, read_text
from portproof.system.errors import UserError

ASK = """
import json, sys
import paddle
import paddle.distributed, paddle.vision

def has(name):
    owner = paddle
    for part in name.split(".")[1:]:
        try:
            owner = getattr(owner, part)
        except AttributeError:
            return False
    return True

print(json.dumps([name for name in json.load(sys.stdin) if not has(name)]))
"""


def python() -> str:
    return os.environ.get("PADDLE_PYTHON") or sys.executable


def missing(names: set[str]) -> set[str]:
    """Return those of `names` (paddle.nn.Conv2D, ...) that Paddle lacks. Raises UserError."""
    command, asked = [python(), "-W", "ignore", "-c", ASK], json.dumps(sorted(names))
    done = subprocess.run(command, input=asked, capture_output=True, text=True)
    if done.returncode:
        advice = "name the Python of one by PADDLE_PYTHON"
        raise UserError(f"{python()} has no Paddle to look at; {advice}")
    return set(json.loads(done.stdout.splitlines()[-1]))


def check(folder: Path) -> list[Finding]:
    """Return the places in which a project names what the installed Paddle has not."""
    fix = "the installed Paddle does not have it: look for its new name, or write it out"
    findings = []
    for path in python_files(folder):
        with contextlib.suppress(SyntaxError, ValueError):  # reported already
            source = Source(str(path.relative_to(folder)), read_text(path))
            places = (Place(node, full, fix) for node, full in source.chains("paddle"))
            findings += source.left(places, "not installed")
    lacking = missing({finding.what for finding in findings}) if findings else set()
    return [finding for finding in findings if finding.what in lacking]
