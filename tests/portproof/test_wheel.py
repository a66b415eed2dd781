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
from tests.portproof import small_ports
from tests.portproof.commands import verdicts
from tests.support.helpers import assert_success


def run(*words, cwd):
    """Run a command where nothing but what is installed can be imported; return how it went."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**kept, "XDG_CACHE_HOME": str(cwd / "cache")}
    options = {"cwd": cwd, "env": environment, "capture_output": True, "text": True}
    return subprocess.run(list(map(str, words)), **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder with an environment that holds the wheel, and sees this one's frameworks."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "portproof", "common", "tools"):
        (source / name).symlink_to(ROOT / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    assert_success(run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, source, cwd=folder))
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    assert_success(run(*pip, "--python", python, "install", "--no-deps", wheel, cwd=folder))
    # A path in a .pth file is looked at last, and the .pth files in it are not: the editable
    # install of the clone is not seen.
    site = Path(sysconfig.get_path("purelib"))
    packages = folder / "env" / site.relative_to(sys.prefix)
    (packages / "frameworks.pth").write_text(f"{site}\n")
    return folder


def align(folder, names, edit=lambda text: text):
    """Align the small ports at these checkpoints; return how it went, and the verdicts."""
    words = [*small_ports.write(folder, edit), "--only", names, "--json", folder / "report.json"]
    done = run(folder / "env" / "bin" / "portproof", "align", *words, cwd=folder)
    return done, verdicts(json.loads((folder / "report.json").read_text()))


def test_the_wheel_holds_the_library_alone(installed):
    seen = "import portproof; print(portproof.__file__)"
    python = installed / "env" / "bin" / "python"
    assert str(installed) in run(python, "-c", seen, cwd=installed).stdout
    for name in ("common", "tools"):
        assert "No module named" in run(python, "-c", f"import {name}", cwd=installed).stderr


def test_two_small_ports_are_aligned_outside_the_clone(installed):
    names = ["forward", "loss", "backward", "optimizer", "training"]
    done, checkpoints = align(installed, ",".join(names))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for name in checkpoints if checkpoints[name]["verdict"] == "aligned"] == names


def test_a_fault_is_named_outside_the_clone(installed):
    done, _ = align(installed, "optimizer", lambda text: text.replace("'lr'], 0.9", "'lr'], 0.8"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "momentum" in done.stdout and "port.py:" in done.stdout
