"""Which names of Paddle the installed Paddle has: asked in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from portproof.convert.source import BY_HAND, Finding, Source, python_files, read_text
from portproof.system.errors import UserError

ASK = """
import json, sys
import paddle
import paddle.distributed, paddle.vision

def has(name):
    value = paddle
    for part in name.split(".")[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            return False
    return True

print(json.dumps([name for name in json.load(sys.stdin) if not has(name)]))
"""


def python() -> str:
    return os.environ.get("PADDLE_PYTHON") or sys.executable


def missing(names: set[str]) -> set[str]:
    """Return those of `names` (paddle.nn.Conv2D, ...) that Paddle lacks. Raises UserError."""
    done = subprocess.run(
        [python(), "-W", "ignore", "-c", ASK],
        input=json.dumps(sorted(names)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(
            f"{python()} has no Paddle to look at; name the Python of one by PADDLE_PYTHON"
        )
    return set(json.loads(done.stdout.splitlines()[-1]))


def check(folder: Path) -> list[Finding]:
    """Return the places in which a project names what the installed Paddle has not."""
    found: list[tuple[str, int, str]] = []
    for path in python_files(folder):
        file = str(path.relative_to(folder))
        try:
            source = Source(file, read_text(path))
        except (SyntaxError, ValueError):
            continue  # told of already
        for node, full in source.chains("paddle"):
            found.append((file, node.lineno, full))
    lacking = missing({full for _, _, full in found}) if found else set()
    fix = "the installed Paddle does not have it: look for its new name, or write it out"
    return [
        Finding(file, line, full, fix, BY_HAND, "not installed")
        for file, line, full in found
        if full in lacking
    ]
