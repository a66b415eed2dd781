"""The tools know the paper's network: it is aligned, and a fault in it is caught and named."""

import json
import sys

import pytest

from common.paths import ROOT
from tests.helpers import SMALL_PAPER
from tests.trees import copy_tree
from tools import align, compare_forward, probes

PAPER = ["--model", "alexnet-paper"]
FAULTS = {
    "alpha of the paper as it stands": ("alpha=5 * 1e-4", "alpha=1e-4", "alpha=0.0005"),
    "size": ("(size=5", "(size=3", "size=5"),
    "beta": ("beta=0.75", "beta=0.5", "beta=0.75"),
    "k": ("k=2.0", "k=1.0", "k=2.0"),
}


@pytest.fixture(scope="module", autouse=True)
def processes():
    with probes.kept_running():
        yield


@pytest.fixture(scope="module")
def small_torch(tmp_path_factory):
    return copy_tree("torch", tmp_path_factory.mktemp("trees") / "AlexNet-torch", SMALL_PAPER)


@pytest.fixture
def call(tmp_path, small_torch, monkeypatch, capsys):
    """Run a tool on small copies of both trees, with an edit; return status, JSON and text."""

    def run(tool, edits, *options):
        tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", edits + SMALL_PAPER)
        file = tmp_path / "found.json"
        given = ["--torch-tree", small_torch, "--paddle-tree", tree, "--json", file, *options]
        monkeypatch.setattr(sys, "argv", ["tool", *map(str, given)])
        status = tool.main()
        return status, json.loads(file.read_text()), capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_response_normalization_is_caught_and_named(call, name):
    right, wrong, words = FAULTS[name]
    edits = [("models/alexnet_paper.py", right, wrong)]
    sizes = ["--image-size", 67, "--second-image-size", 0, "--num-classes", 5]
    status, found, text = call(compare_forward, edits, *PAPER, *sizes)
    assert status == 1 and found["where"] == "features.2", text
    assert words in found["causes"][0]["fix"], text
    assert ("where the paper has the sum" in found["causes"][0]["cause"]) == ("alpha" in name)


def test_the_response_normalization_alone_is_aligned(monkeypatch, capsys):
    options = ["--input-shape", "2,8,5,4"]
    for framework in ("torch", "paddle"):
        file = ROOT / f"AlexNet-{framework}" / "models" / "alexnet_paper.py"
        options += [f"--{framework}-model", f"{file}:ResponseNorm"]
    monkeypatch.setattr(sys, "argv", ["tool", *options])
    assert compare_forward.main() == 0
    assert "LocalResponseNorm" in capsys.readouterr().out


def test_the_papers_network_is_aligned(call):
    checkpoints = "init,forward,loss,backward,lr,optimizer,training,resume,inference"
    status, found, text = call(align, [], *PAPER, "--only", checkpoints, "--steps", 3)
    assert status == 0 and found["aligned"], text
    verdicts = {one["name"]: one for one in found["checkpoints"]}
    assert verdicts["backward"]["float64"] < 1e-9 < verdicts["backward"]["float32"] < 1e-4
