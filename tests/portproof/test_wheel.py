"""The wheel alone, in an environment outside the clone, aligns two small ports."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from common.paths import ROOT

NETWORK = """
import {framework}
from {framework} import nn

SETTINGS = {{"lr": 0.01}}


def model(settings):
    convolution, pool = nn.Conv2{d}(3, 4, 3, padding=1), nn.AdaptiveAvgPool2{d}(2)
    return nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(16, 1000))


def loss(outputs, batch):
    return nn.functional.cross_entropy(outputs, batch["labels"])


def optimizer(model, steps_per_epoch, settings):
    rate = settings["lr"]
"""
TORCH = (
    NETWORK.format(framework="torch", d="d")
    + "    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)\n"
)
PADDLE = (
    NETWORK.format(framework="paddle", d="D")
    + "    return paddle.optimizer.Momentum(rate, 0.9, parameters=model.parameters())\n"
)


def run(*words, cwd):
    """Run a command where nothing but what is installed can be imported; return how it went."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**kept, "XDG_CACHE_HOME": str(cwd / "cache")}
    return subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder with an environment that holds the wheel, and sees this one's frameworks."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "portproof", "common", "tools"):
        (source / name).symlink_to(ROOT / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, source, cwd=folder)
    assert built.returncode == 0, built.stderr
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    done = run(*pip, "--python", python, "install", "--no-deps", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    # A path in a .pth file is looked at last, and the .pth files in it are not: the editable
    # install of the clone is not seen.
    site = Path(sysconfig.get_path("purelib"))
    own = folder / "env" / site.relative_to(sys.prefix)
    (own / "frameworks.pth").write_text(f"{site}\n")
    return folder


def align(folder, ports, *words):
    for framework, text in ports.items():
        (folder / f"{framework}_port").mkdir(exist_ok=True)
        (folder / f"{framework}_port" / "port.py").write_text(text)
    named = [f"--{name}-port={folder / f'{name}_port' / 'port.py'}" for name in ports]
    command = folder / "env" / "bin" / "portproof"
    return run(command, "align", *named, "--json", folder / "out.json", *words, cwd=folder)


def verdicts(folder):
    checks = json.loads((folder / "out.json").read_text())["checkpoints"]
    return {check["name"]: check["verdict"] for check in checks}


def test_the_wheel_holds_the_library_alone(installed):
    seen = "import portproof; print(portproof.__file__)"
    python = installed / "env" / "bin" / "python"
    assert str(installed) in run(python, "-c", seen, cwd=installed).stdout
    for name in ("common", "tools"):
        assert "No module named" in run(python, "-c", f"import {name}", cwd=installed).stderr


def test_two_small_ports_are_aligned_outside_the_clone(installed):
    names = ["forward", "loss", "backward", "optimizer", "training"]
    done = align(installed, {"torch": TORCH, "paddle": PADDLE}, "--only", ",".join(names))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for name, verdict in verdicts(installed).items() if verdict == "aligned"] == names


def test_a_fault_is_named_outside_the_clone(installed):
    faulty = PADDLE.replace("(rate, 0.9", "(rate, 0.8")
    done = align(installed, {"torch": TORCH, "paddle": faulty}, "--only", "optimizer")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "momentum" in done.stdout and "port.py:" in done.stdout
