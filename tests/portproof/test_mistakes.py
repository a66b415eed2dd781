"""Every tool says a user's mistake in one line on standard error, with exit status 2."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from common.paths import ROOT
from tests.support.helpers import assert_user_error, call_main, run

TREES = "--torch-tree torch --paddle-tree paddle"
# A tool, its options, words of the line. The files are those of the fixture `folder`.
MISTAKES = [
    ("align", "--only backwards", ["backwards", "no checkpoint"]),
    ("align", "--weights no.pth", ["no such file"]),
    ("align", "--data-path no", ["no such folder"]),
    ("align", "--model alexnet-paper --image-size 66", ["takes images of 67 pixels or more"]),
    ("compare_data", "--data-path no", ["no such folder"]),
    ("compare_data", "--data-path empty", ["lay the images out as"]),
    ("compare_data", "--paddle-tree empty", ["has no port.py"]),
    ("compare_data", "--limmit 3", ["did you mean --limit"]),
    ("compare_forward", "--weights no.pth", ["no such file"]),
    ("compare_forward", "--weights a.txt", ["ending"]),
    ("compare_forward", "--torch-weights a.safetensors", ["both --torch-weights"]),
    ("compare_forward", "--torch-model net:Net", ["--paddle-model"]),
    ("compare_forward", "--images no", ["no such folder"]),
    ("compare_forward", "--weigths a.safetensors", ["did you mean --weights"]),
    ("compare_forward", "--paddle-tree empty", ["port.py"]),
    ("compare_forward", f"--weights a.safetensors {TREES}", ["lacks features.3.weight"]),
    ("compare_runs", "80 no", ["name a run folder"]),
    ("compare_training", "--steps 0", ["--steps"]),
    ("compare_training", "--data-path no", ["no such folder"]),
    ("compare_training", "--watch", ["--watch"]),
    ("compare_training", "--model alexnet-paper --image-size 66", ["67 pixels or more"]),
    ("convert_project", "no out", ["no such file"]),
    ("convert_project", "empty out", ["holds no Python"]),
    ("convert_project", "empty --check", ["holds no Python"]),
    ("convert_project", f"project {Path.home()} --force", ["you are in it"]),
    ("convert_project", "a.txt out", ["no .py file"]),
    ("convert_project", "project full", ["--force"]),
    ("convert_project", "project project/out", ["another folder"]),
    ("convert_project", "project", ["OUT"]),
    ("convert_project", "project out --verify", ["--verify"]),
    ("convert_project", "project out --with hope", ["--with"]),
    ("convert_project", "python2 out", ["old.py:1"]),
    ("transfer_weights", "a.safetensors b.bin", ["ending"]),
    ("transfer_weights", "no.pth b.pth", ["no such file"]),
    ("transfer_weights", "a.safetensors no/b.pth", ["no such folder"]),
    ("transfer_weights", "a.safetensors b.pth --torch-model net:Net", ["--paddle-model"]),
    ("transfer_weights", "a.safetensors a.safetensors --force", ["one file"]),
    ("transfer_weights", "a.safetensors same.safetensors --force", ["one file"]),
    ("transfer_weights", "a.safetensors folder.pth --force", ["is a folder"]),
    ("transfer_weights", "a.safetensors", ["TARGET"]),
    ("transfer_weights", "a.safetensors b.pth --forc", ["--forc", "--force"]),
    ("transfer_weights", "a.safetensors b.pth c.pth", ["c.pth"]),
    ("transfer_weights", "a.safetensors b.pth --num-classes many", ["--num-classes", "many"]),
    ("transfer_weights", "a.safetensors b.pth --torch-args {", ["--torch-args", "JSON"]),
    ("transfer_weights", "a.safetensors b.pth --map left", ["--map", "left"]),
    ("transfer_weights", "a.safetensors b.pth", ["lacks features.4.bias"]),
]

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_trees):
    """Weights with keys of the paper's network, small trees, and files that are none of these."""
    folder = tmp_path_factory.mktemp("mistakes")
    for framework, tree in small_trees.items():
        (folder / framework).symlink_to(tree)
    keys = ["features.0.weight", "features.0.bias", "features.4.weight"]
    save_file({key: np.zeros([5, 1], np.float32) for key in keys}, folder / "a.safetensors")
    os.link(folder / "a.safetensors", folder / "same.safetensors")
    for name in ("empty", "folder.pth", "full", "project", "python2"):
        (folder / name).mkdir()
    for name in ("a.txt", "full/mine"):
        (folder / name).touch()
    (folder / "project" / "net.py").write_text("import torch\n")
    (folder / "python2" / "old.py").write_text("print 'a'\n")
    return folder


@pytest.mark.parametrize(("tool", "options", "words"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_status_2(folder, monkeypatch, tool, options, words):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    done = call_main(f"tools.{tool}", *options.split())
    assert_user_error(done, *words)
    assert not done.stdout and len(done.stderr.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("tool", sorted({tool for tool, *_ in MISTAKES}))
def test_a_program_ends_with_it(tool):
    done = run(sys.executable, ROOT / "tools" / f"{tool}.py", "--no-such-option")
    assert_user_error(done, f"{tool}.py: error: ")
