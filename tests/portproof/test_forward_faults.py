"""tools/compare_forward.py: each fault planted in a copy of a tree is caught, placed and named."""

import numpy as np
import pytest

from common.paths import ROOT
from portproof.networks.matching import Network
from portproof.weights import initial, tensors
from portproof.worker import client
from tests.portproof.commands import explanation
from tests.support.fault_choice import chosen
from tests.support.planted import CONTROLS, FAULTS, PAPER_FAULTS
from tools import compare_forward

# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    "linear not transposed", "square linear not transposed", "key not loaded", "bias lost",
    "average pooling counts no padding", "padding", "left in train mode", "dropout missing",
    "dropout scales in evaluation", "epsilon", "pooling that agrees at 224 pixels only",
    "channels reversed", "a layer twice", "weights shared", *PAPER_FAULTS,
}  # fmt: skip
PLANTED = FAULTS | {name: (edits, [], *rest) for name, (edits, *rest) in PAPER_FAULTS.items()}
CLASSES = ["--num-classes", 10]
SMALLEST = ["--model", "alexnet-paper", "--image-size", 67, "--second-image-size", 0]

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.mark.parametrize("name", chosen(PLANTED, OFTEN))
def test_a_planted_fault_is_caught_and_named(on_small_trees, name):
    paddle, torch, where, words = PLANTED[name]
    size = 224 if "224 pixels" in name else 64
    options = SMALLEST if name in PAPER_FAULTS else ["--image-size", size]
    status, report, text = on_small_trees(compare_forward, paddle, *CLASSES, *options, torch=torch)
    assert status == 1, text
    assert not report["aligned"]
    assert report["where"] == where, text
    (cause,) = report["causes"]  # one fault, one diagnosis
    assert cause["cause"] == report["cause"] and cause["fix"] == report["fix"]
    assert all(word in explanation(cause) for word in words), text
    assert ("where the paper has the sum" in text) == ("the paper's alpha" in name)
    assert "fix:" in text and "diverged" in text


@pytest.mark.parametrize("name", CONTROLS)
def test_a_correct_port_is_aligned(on_small_trees, name):
    paddle, torch, options = CONTROLS[name]
    status, report, text = on_small_trees(compare_forward, paddle, *CLASSES, *options, torch=torch)
    assert status == 0, text
    assert report["aligned"] and not report["causes"]
    assert report["float64"] < 1e-12 and np.isfinite(report["float32"])
    assert len(report["inputs"]) == 3  # two sizes, and training mode


def test_a_network_fits_the_classes_of_its_weights(tmp_path, small_trees, on_small_trees):
    port = client.Side("torch", small_trees["torch"] / "port.py", settings={"classes": 7})
    described = port.ask(tmp_path / "described", describe={})["describe"]
    drawn = initial.draw_weights(Network.from_report("torch", described), seed=0)
    file = tmp_path / "seven.safetensors"
    tensors.write(file, {name: tensors.from_array(array) for name, array in drawn.items()})
    options = ["--weights", file, "--image-size", 64, "--second-image-size", 0]
    status, report, text = on_small_trees(compare_forward, [], *options)
    assert status == 0 and report["inputs"][0]["layers"][-1]["shape"] == [2, 7], text


def test_the_response_normalization_alone_is_aligned(capsys):
    options = ["--input-shape", "2,8,5,4"]
    for framework in ("torch", "paddle"):
        file = ROOT / f"AlexNet-{framework}" / "models" / "alexnet_paper.py"
        options += [f"--{framework}-model", f"{file}:ResponseNorm"]
    assert compare_forward.main(options) == 0
    assert "LocalResponseNorm" in capsys.readouterr().out
