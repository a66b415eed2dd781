"""The tools know the paper's network: it is aligned, and a fault in it is caught and named."""

import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from common.paths import ROOT
from tests.support.helpers import assert_user_error, run
from tests.support.planted import PAPER_FAULTS
from tools import align, compare_forward

PAPER = ["--model", "alexnet-paper"]
pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.mark.parametrize("name", PAPER_FAULTS)
def test_a_fault_of_the_response_normalization_is_caught_and_named(on_small_trees, name):
    edits, where, words = PAPER_FAULTS[name]
    sizes = ["--image-size", 67, "--second-image-size", 0, "--num-classes", 5]
    status, found, text = on_small_trees(compare_forward, edits, *PAPER, *sizes)
    assert status == 1 and found["where"] == where, text
    told = "{cause} {fix}".format(**found["causes"][0])
    assert all(word in told for word in words), text
    assert ("where the paper has the sum" in told) == ("alpha" in name)


def test_the_response_normalization_alone_is_aligned(capsys):
    options = ["--input-shape", "2,8,5,4"]
    for framework in ("torch", "paddle"):
        file = ROOT / f"AlexNet-{framework}" / "models" / "alexnet_paper.py"
        options += [f"--{framework}-model", f"{file}:ResponseNorm"]
    assert compare_forward.main(options) == 0
    assert "LocalResponseNorm" in capsys.readouterr().out


def test_the_papers_network_is_aligned(on_small_trees):
    checkpoints = "init,forward,loss,backward,lr,optimizer,training,resume,inference"
    options = [*PAPER, "--only", checkpoints, "--steps", 3]
    status, found, text = on_small_trees(align, [], *options)
    assert status == 0 and found["aligned"], text
    verdicts = {one["name"]: one for one in found["checkpoints"]}
    # Paddle's gradient of a mean over 5 channels has 1/5 as a float32, 1.5e-8 off. In float32 a
    # window of pooling may take another of two near maxima, within one framework too: no bound.
    assert verdicts["backward"]["float64"] < 2**-24 < verdicts["backward"]["float32"]
    assert verdicts["forward"]["float64"] < 1e-9


def test_a_named_network_is_not_exchanged_for_that_of_the_file(tmp_path):
    """AlexNet is the usual one; transfer_weights.py alone goes by what the file holds."""
    file, tools = tmp_path / "paper.safetensors", ROOT / "tools"
    keys = ["features.0.weight", "features.0.bias", "features.4.weight"]
    save_file({key: np.zeros([5, 1], np.float32) for key in keys}, file)
    done = run(sys.executable, tools / "compare_forward.py", "--weights", file)
    assert_user_error(done, "lacks features.3.weight")
    done = run(sys.executable, tools / "transfer_weights.py", file, tmp_path / "paper.pth")
    assert_user_error(done, "lacks features.4.bias")
