"""tools/compare_forward.py: each fault planted in a copy of a tree is caught, placed and named."""

import json
import sys

import numpy as np
import pytest

from tests.planted import CONTROLS, FAULTS
from tests.trees import SMALL, chosen, copy_tree
from tools import compare_forward, probes

# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    *("linear not transposed", "square linear not transposed", "key not loaded", "bias lost"),
    *("average pooling counts no padding", "padding", "left in train mode", "dropout missing"),
    *("dropout scales in evaluation", "epsilon", "pooling that agrees at 224 pixels only"),
    *("channels reversed", "a layer twice", "weights shared"),
}


@pytest.fixture(scope="module", autouse=True)
def processes():
    """The frameworks start once for all tests of this file, as far as the trees are the same."""
    with probes.kept_running():
        yield


@pytest.fixture(scope="module")
def small_torch(tmp_path_factory):
    return copy_tree("torch", tmp_path_factory.mktemp("trees") / "AlexNet-torch", SMALL)


@pytest.fixture
def compare(tmp_path, small_torch, monkeypatch, capsys):
    """Compare small copies of both trees with edits; return exit status, JSON and text."""

    def run(paddle_edits, torch_edits, *options):
        torch_tree = small_torch
        if torch_edits:
            torch_tree = copy_tree("torch", tmp_path / "AlexNet-torch", torch_edits + SMALL)
        paddle_tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", paddle_edits + SMALL)
        options = ["--torch-tree", torch_tree, "--paddle-tree", paddle_tree, *options]
        options += ["--json", tmp_path / "found.json"]
        options = ["--num-classes", 10, *options] if "--num-classes" not in options else options
        monkeypatch.setattr(sys, "argv", ["compare_forward.py", *map(str, options)])
        status = compare_forward.main()
        return status, json.loads((tmp_path / "found.json").read_text()), capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", chosen(FAULTS, OFTEN))
def test_a_planted_fault_is_caught_and_named(compare, name):
    paddle_edits, torch_edits, where, words = FAULTS[name]
    status, found, text = compare(paddle_edits, torch_edits, "--image-size", 224)
    assert status == 1, text
    assert not found["aligned"]
    assert found["where"] == where, text
    assert len(found["causes"]) == 1, text  # one fault, one diagnosis
    told = f"{found['cause']} {found['fix']}"
    assert all(word in told for word in words), text
    assert "fix:" in text and "diverged" in text


@pytest.mark.parametrize("name", CONTROLS)
def test_a_correct_port_is_aligned(compare, name):
    paddle_edits, torch_edits, options = CONTROLS[name]
    status, found, text = compare(paddle_edits, torch_edits, *options)
    assert status == 0, text
    assert found["aligned"] and not found["causes"]
    assert found["float64"] < 1e-12 and np.isfinite(found["float32"])
    assert len(found["inputs"]) == 3  # two sizes, and training mode
