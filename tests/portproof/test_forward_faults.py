"""tools/compare_forward.py: each fault planted in a copy of a tree is caught, placed and named."""

import numpy as np
import pytest

from portproof.networks.matching import Network
from portproof.weights import initial, tensors
from portproof.worker import client
from tests.support.planted import CONTROLS, FAULTS
from tests.support.seldom import chosen
from tools import compare_forward

# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    "linear not transposed",
    "square linear not transposed",
    "key not loaded",
    "bias lost",
    "average pooling counts no padding",
    "padding",
    "left in train mode",
    "dropout missing",
    "dropout scales in evaluation",
    "epsilon",
    "pooling that agrees at 224 pixels only",
    "channels reversed",
    "a layer twice",
    "weights shared",
}


CLASSES = ["--num-classes", 10]
pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.mark.parametrize("name", chosen(FAULTS, OFTEN))
def test_a_planted_fault_is_caught_and_named(on_small_trees, name):
    paddle_edits, torch_edits, where, words = FAULTS[name]
    status, found, text = on_small_trees(
        compare_forward, paddle_edits, *CLASSES, "--image-size", 224, torch=torch_edits
    )
    assert status == 1, text
    assert not found["aligned"]
    assert found["where"] == where, text
    assert len(found["causes"]) == 1, text  # one fault, one diagnosis
    told = f"{found['cause']} {found['fix']}"
    assert all(word in told for word in words), text
    assert "fix:" in text and "diverged" in text


@pytest.mark.parametrize("name", CONTROLS)
def test_a_correct_port_is_aligned(on_small_trees, name):
    paddle_edits, torch_edits, options = CONTROLS[name]
    status, found, text = on_small_trees(
        compare_forward, paddle_edits, *CLASSES, *options, torch=torch_edits
    )
    assert status == 0, text
    assert found["aligned"] and not found["causes"]
    assert found["float64"] < 1e-12 and np.isfinite(found["float32"])
    assert len(found["inputs"]) == 3  # two sizes, and training mode


def test_a_network_fits_the_classes_of_its_weights(tmp_path, small_trees, on_small_trees):
    port = client.Side("torch", small_trees["torch"] / "port.py", settings={"classes": 7})
    report = port.ask(tmp_path / "described", describe={})["describe"]
    drawn = initial.draw_weights(Network.from_report("torch", report), seed=0)
    file = tmp_path / "seven.safetensors"
    tensors.write(file, {name: tensors.from_array(array) for name, array in drawn.items()})
    options = ["--weights", file, "--image-size", 64, "--second-image-size", 0]
    status, found, text = on_small_trees(compare_forward, [], *options)
    assert status == 0 and found["inputs"][0]["layers"][-1]["shape"] == [2, 7], text
