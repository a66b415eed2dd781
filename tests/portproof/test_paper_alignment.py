"""The tools know the paper's network: it is aligned, and a fault in it is caught and named."""

import pytest

from common.paths import ROOT
from tests.portproof.commands import explanation, verdicts
from tests.support.planted import PAPER_FAULTS
from tools import align, compare_forward

PAPER = ["--model", "alexnet-paper"]
pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.mark.parametrize("name", PAPER_FAULTS)
def test_a_fault_of_the_response_normalization_is_caught_and_named(on_small_trees, name):
    edits, where, words = PAPER_FAULTS[name]
    sizes = ["--image-size", 67, "--second-image-size", 0, "--num-classes", 5]
    status, report, text = on_small_trees(compare_forward, edits, *PAPER, *sizes)
    assert status == 1 and report["where"] == where, text
    message = explanation(report["causes"][0])
    assert all(word in message for word in words), text
    assert ("where the paper has the sum" in message) == ("alpha" in name)


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
    status, report, text = on_small_trees(align, [], *options)
    assert status == 0 and report["aligned"], text
    forward, backward = (verdicts(report)[name] for name in ("forward", "backward"))
    # Paddle's gradient of a mean over 5 channels has 1/5 as a float32, 1.5e-8 off. In float32 a
    # window of pooling may take another of two near maxima, within one framework too: no bound.
    assert backward["float64"] < 2**-24 < backward["float32"]
    assert forward["float64"] < 1e-9
