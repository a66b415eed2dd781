"""The shell scripts say what is missing, in one line, with exit status 2."""

import os
import shutil
import stat
import subprocess
import sys

import pytest

from common.paths import ROOT
from tests.support.helpers import TIMEOUT, assert_success, assert_user_error, run


def bash(script, *options, **environment):
    return run("bash", ROOT / "scripts" / script, *options, **environment)


@pytest.fixture
def clone(tmp_path):
    """The files that set-up needs, in a folder with no .venv."""
    for name in ("scripts", "common", "portproof"):
        shutil.copytree(ROOT / name, tmp_path / "clone" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "clone")
    return tmp_path / "clone"


def put_program(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def disk_of(clone, free_gb):
    """Return a PATH whose df tells of free_gb: no test hangs on what this machine's disk has."""
    kilobytes = free_gb * 1024 * 1024
    df = put_program(clone / "disk", "df", f'echo header; echo "/dev/x 9 9 {kilobytes} 9% /"')
    return f"{df.parent}:{os.environ['PATH']}"


def setup(clone, free_gb=100, **environment):
    environment = {"PATH": disk_of(clone, free_gb), "PYTHON": sys.executable} | environment
    return run("bash", clone / "scripts" / "setup.sh", **environment)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name the framework"),
        (["--framework"], "--framework needs a value"),
        (["--framework", "jax"], "there is no framework 'jax'"),
        (["--framework=tensorflow"], "there is no framework 'tensorflow'"),
        (["--framework", "torch", "--processes", "0"], "--processes '0' is no whole number from 1"),
        (["--framework", "torch", "--processes=two"], "--processes 'two' is no whole number"),
        (["--framework", "torch", "--nodes", "2"], "--nodes 2 needs --master HOST:PORT"),
        (["--framework", "paddle", "--nodes", "2", "--node-rank", "2"], "not below --nodes 2"),
        (["--framework", "torch", "--data-path", "/nowhere"], "no such folder"),
        (["--framework", "paddle", "--lern-rate", "1"], "no option --lern-rate"),
    ],
)
def test_train_names_the_mistake(options, words):
    assert_user_error(bash("train.sh", *options), words)


def test_evaluate_published_hands_its_options_on():
    done = bash("evaluate_published.sh", "--data-path", "/nowhere", "--frameworks", "torch")
    assert_user_error(done, "/nowhere/val: there is no such folder")


@pytest.mark.parametrize("options", [["--help"], ["--framework", "paddle", "-h"]])
def test_train_shows_grouped_help(options):
    done = assert_success(bash("train.sh", *options))
    for group in ("data:", "recipe:", "model:", "run:", "--image-size"):
        assert group in done.stdout


SCRIPTS = sorted({path.name for path in (ROOT / "scripts").glob("*.sh")} - {"help.sh"})


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_no_setup(clone, script):
    done = run("bash", clone / "scripts" / script, "--help", PYTHON="/nowhere/python")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"bash scripts/{script}" in done.stdout
    assert not (clone / ".venv").exists()


def test_help_sets_nothing_up_anew(clone):
    """A .venv that was made elsewhere, or of other pins, is left as it is."""
    stamp = clone / ".venv" / ".complete"
    stamp.parent.mkdir()
    stamp.write_text("/another/clone\n1 2\n3 4\npython3\n")
    done = run("bash", clone / "scripts" / "align.sh", "--help", PYTHON="/nowhere/python")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bash scripts/align.sh" in done.stdout
    assert stamp.exists()


@pytest.mark.parametrize("script", ["docs.sh", "doctor.sh", "setup.sh"])
def test_what_takes_no_options_says_so(script):
    assert_user_error(bash(script, "--fast"), f"no option --fast; usage: bash scripts/{script}")


def test_setup_does_nothing_when_nothing_changed():
    done = bash("setup.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_setup_starts_over_when_the_pins_change(clone):
    fake = put_program(clone / "bin", "python", f'exec "{sys.executable}" "$@"')
    (clone / "pyproject.toml").write_text("this is no project")
    for _ in range(2):
        assert_user_error(setup(clone, PYTHON=str(fake), PIP_NO_INDEX="1"), "setup.log")
        assert not (clone / ".venv" / ".complete").exists()


def test_setup_leaves_the_environment_of_another_folder_alone(clone, tmp_path):
    other = tmp_path / "other" / ".venv"
    other.mkdir(parents=True)
    (other / ".complete").write_text(f"{other.parent}\n1 2\n3 4\npython3\n")
    (other / "kept").touch()
    (clone / ".venv").symlink_to(other)
    done = setup(clone)
    assert_user_error(done, f"a link to the environment of {other.parent}", "remove the link")
    assert (other / "kept").exists() and (other / ".complete").exists()


@pytest.mark.parametrize("version", ["3.9", "3.14", "2.7"])
def test_setup_refuses_a_python_out_of_range(clone, tmp_path, version):
    numbers = version.replace(".", ", ")
    test = f"import sys; sys.version_info = ({numbers}, 0); exec(sys.argv.pop(1))"
    program = f'shift; exec "{sys.executable}" -c "{test}" "$@"'
    fake = put_program(tmp_path / "bin", "oldpython", program)
    assert_user_error(setup(clone, PYTHON=str(fake)), "oldpython is not one of Python 3.10 to 3.13")


def test_setup_names_a_missing_python(clone, tmp_path):
    done = setup(clone, PYTHON="/nowhere/python")
    assert_user_error(done, "PYTHON=/nowhere/python: there is no such program")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "cksum", "cat", "flock", "df", "du", "awk"):
        os.symlink(shutil.which(name), tools / name)
    done = setup(clone, PATH=str(tools), PYTHON="")
    assert_user_error(done, "no Python from 3.10 to 3.13 found")


def test_setup_names_a_full_disk(clone):
    assert_user_error(setup(clone, free_gb=6), "6 GB of free disk space and needs 8 GB")


def test_setup_names_a_missing_network(clone):
    pip = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_FIND_LINKS": ""}
    pip |= {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": ""}
    assert_user_error(setup(clone, **pip), "cannot be downloaded; check the network")
    assert not (clone / ".venv" / ".complete").exists()


def test_two_setups_at_once_wait_for_each_other(clone):
    """The second finds the lock taken; when the first has failed it tries for itself."""
    environment = os.environ | {"PATH": disk_of(clone, 100), "PYTHON": sys.executable}
    environment["PIP_NO_INDEX"] = "1"
    command = ["bash", str(clone / "scripts" / "setup.sh")]
    pipe = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    for process in [subprocess.Popen(command, **pipe) for _ in range(2)]:
        _, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 2, errors
        assert "error: the packages cannot be" in errors
