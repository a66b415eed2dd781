"""Ask a tree's probe.py. Each framework runs in a process of its own; the tools run in neither."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import errors
from common.errors import UserError
from common.paths import ROOT

FRAMEWORKS = ("torch", "paddle")
NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle"}


@dataclass(frozen=True)
class Side:
    """One framework's half of a comparison: whose tree, and which network (None: the tree's)."""

    framework: str
    tree: Path
    model: dict[str, Any] | None = None
    options: list[str] = field(default_factory=list)  # of train.py

    @property
    def python(self) -> str:
        """The interpreter: TORCH_PYTHON or PADDLE_PYTHON where set, else the one that runs this."""
        return os.environ.get(f"{self.framework.upper()}_PYTHON") or sys.executable

    def ask(self, folder: Path, **parts: dict[str, Any]) -> dict[str, Any]:
        """Run parts of probe.py with their settings; return what each reports.

        Files that a part writes lie in `folder`, which is made. Raises UserError with the probe's
        own words where it fails.
        """
        probe = self.tree / "probe.py"
        if not probe.is_file():
            raise UserError(
                f"{self.tree} has no probe.py; name a copy of AlexNet-{self.framework} by "
                f"--{self.framework}-tree"
            )
        folder.mkdir(parents=True)
        request = {"arguments": ["--device", "cpu", *self.options], **parts}
        if self.model:
            request["model"] = self.model
        (folder / "request.json").write_text(json.dumps(request))
        done = subprocess.run(
            [self.python, str(probe.resolve()), str(folder / "request.json"), str(folder)],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode:
            raise UserError(self._failure(done))
        reports = {}
        for part in parts:
            file = folder / f"{part}.json"
            if file.exists():
                reports[part] = json.loads(file.read_text())
        return reports

    def _failure(self, done: subprocess.CompletedProcess) -> str:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        last = lines[-1] if lines else f"it ended with status {done.returncode}"
        if done.returncode == errors.BAD_INPUT:
            return last.partition("error: ")[2] or last
        if done.returncode < 0:
            last = f"killed by signal {-done.returncode} (out of memory?)"
        return f"{NAMES[self.framework]} could not run {self.tree.name}/probe.py: {last}"


def ask_both(sides: list[Side], folder: Path, requests: list[dict]) -> list[dict[str, Any]]:
    """Ask several sides at the same time, each in its own folder within `folder`."""
    with ThreadPoolExecutor(len(sides)) as pool:
        waiting = [
            pool.submit(side.ask, folder / side.framework, **request)
            for side, request in zip(sides, requests, strict=True)
        ]
        return [result.result() for result in waiting]


def default_tree(framework: str) -> Path:
    """Return this repository's tree of a framework."""
    return ROOT / f"AlexNet-{framework}"


@contextmanager
def scratch(near: Path | None = None) -> Iterator[Path]:
    """Give a folder for temporary files, emptied at the end. `near`: on the disk of this path."""
    with tempfile.TemporaryDirectory(prefix=".tools-", dir=near) as folder:
        yield Path(folder)
