"""Hold a converted copy of AlexNet-torch to the original, by the tools that hold the hand port."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.paths import ROOT
from tools.convert import environments
from tools.probes import scratch


@dataclass(frozen=True)
class Check:
    """What one tool says of a pair of trees: the largest relative differences."""

    name: str
    aligned: bool
    float64: float | None
    float32: float | None
    said: str


def verify(source: Path, target: Path, converter: str, steps: int) -> bool:
    """Compare forward and training, print what comes out, and say whether all is aligned."""
    found = [forward(source, target, converter), training(source, target, converter, steps)]
    for check in found:
        told = "aligned" if check.aligned else f"diverged: {check.said}"
        numbers = [f"{value:.1e}" if value is not None else "-" for value in
                   (check.float64, check.float32)]  # fmt: skip
        print(f"{check.name}: {told} (float64 {numbers[0]}, float32 {numbers[1]})")
    return all(check.aligned for check in found)


def forward(source: Path, target: Path, converter: str) -> Check:
    """Every layer's output, on the same weights and inputs."""
    found, status, said = ask("compare_forward", source, target, converter)
    return Check("forward", status == 0, found.get("float64"), found.get("float32"), said)


def training(source: Path, target: Path, converter: str, steps: int) -> Check:
    """The first steps of the training, on drawn batches."""
    options = ["--drawn", "--steps", str(steps)]
    found, status, said = ask("compare_training", source, target, converter, *options)
    row = found["checkpoints"][0] if found else {}
    name = f"training, {steps} steps"
    return Check(name, status == 0, row.get("float64"), row.get("float32"), said)


def ask(
    tool: str, source: Path, target: Path, converter: str, *options: str
) -> tuple[dict, int, str]:
    """Run a tool of this folder on two trees; return its JSON, its status, and its last line.

    Raises UserError where it could not compare.
    """
    with scratch() as folder:
        file = folder / "found.json"
        done = subprocess.run(
            [
                sys.executable,
                str(ROOT / "tools" / f"{tool}.py"),
                *options,
                "--json",
                str(file),
                "--torch-tree",
                str(source.resolve()),
                "--paddle-tree",
                str(target.resolve()),
            ],
            capture_output=True,
            text=True,
            env=settings(converter),
        )
        found = json.loads(file.read_text()) if file.exists() else {}
    lines = [line for line in (done.stderr if done.returncode == 2 else done.stdout).splitlines()]
    last = next((line for line in reversed(lines) if line.strip()), "")
    if done.returncode == 2 and "could not run" not in last:
        raise UserError(last.partition("error: ")[2] or last)
    return found, done.returncode, last


def settings(converter: str) -> dict[str, str]:
    """Return the environment in which a converted tree runs: X2Paddle's output needs X2Paddle."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = os.environ | {"PYTHONPATH": path}
    if converter == "x2paddle":
        own["PADDLE_PYTHON"] = str(environments.python("x2paddle"))
    return own
