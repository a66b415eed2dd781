"""tools/align.py: faults of the training are caught at their checkpoint; the trees are aligned."""

import pytest

from portproof.checks import distributed
from portproof.core.training_pair import TrainingPair
from portproof.core.verdict import CHECKPOINTS
from portproof.worker import client
from tests.portproof.commands import explanation, verdicts
from tests.support.fault_choice import chosen
from tests.support.planted_training import FAULTS, PAIRS, SAME, edit, network
from tools import align
from tools.project import draw_folder

# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    "softmax twice", "loss summed", "metric as a fraction", "ties count", "graph cut",
    "a layer frozen", "layer left out of the optimizer", "no momentum", "no weight decay",
    "schedule not attached", "schedule not stepped", "rate not scaled", "resume loses the velocity",
    "bias starts at 0", "no train mode", "RMSProp's epsilon", "momentum of batch normalization",
}  # fmt: skip
# Edits of the Paddle tree, of the torch tree, the checkpoint and words of the explanation.
PLANTED = {name: (paddle, [], *rest) for name, (paddle, *rest) in FAULTS.items()} | PAIRS

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.mark.parametrize("name", chosen(PLANTED, OFTEN))
def test_a_planted_fault_is_caught_at_its_checkpoint(on_small_trees, name):
    paddle, torch, checkpoint, words = PLANTED[name]
    status, report, text = on_small_trees(align, paddle, "--only", checkpoint, torch=torch)
    verdict = verdicts(report)[checkpoint]
    assert status == 1 and verdict["verdict"] == "diverged", text
    assert report["first_divergence"] == checkpoint and not report["aligned"]
    assert all(word in explanation(verdict) for word in words), text


@pytest.mark.parametrize("name", chosen(SAME, {"groups on both sides"}))
def test_optimizers_that_are_the_same_raise_no_alarm(on_small_trees, name):
    paddle, torch = SAME[name]
    options = ["--only", "lr,optimizer,training", "--steps", 4]
    status, report, text = on_small_trees(align, paddle, *options, torch=torch)
    assert status == 0 and report["aligned"], text


def test_the_same_momentum_of_batch_normalization_raises_no_alarm(on_small_trees):
    """Two processes normalize a part of the batch each, which is no fault of the right port."""
    conv = "nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2)"
    torch = network(conv, f"{conv}, nn.BatchNorm2d(64)")  # whose momentum of 0.1 is Paddle's 0.9
    conv = conv.replace("2d", "2D")
    paddle = network(conv, f"{conv}, nn.BatchNorm2D(64, momentum=0.9)")
    options = ["--only", "training,distributed,inference", "--steps", 3]
    status, _, text = on_small_trees(align, paddle, *options, torch=torch)
    assert status == 0, text


def test_a_constant_that_paddle_keeps_as_float32_is_no_fault(on_small_trees):
    """The mean over 3 x 3: Paddle multiplies the gradients by 1 / 9, rounded to float32."""

    def edits(layer):
        pooled = network(f"nn.{layer}((6, 6))", f"nn.{layer}((1, 1))")
        smaller = network("nn.Linear(256 * 6 * 6, 4096)", "nn.Linear(256, 4096)")
        return network("stride=4, padding=2", "stride=2, padding=5") + pooled + smaller

    options = ["--only", "backward,training", "--steps", 2]
    paddle, torch = edits("AdaptiveAvgPool2D"), edits("AdaptiveAvgPool2d")
    status, report, text = on_small_trees(align, paddle, *options, torch=torch)
    assert status == 0 and report["aligned"], text
    assert 1e-9 < verdicts(report)["backward"]["float64"] < 6e-8  # it is there


def test_the_trees_are_aligned_at_every_checkpoint(on_small_trees, tmp_path):
    options = ["--report", tmp_path / "report", "--steps", 4]
    status, report, text = on_small_trees(align, [], *options)
    assert status == 0, text
    assert report["aligned"] and report["first_divergence"] is None
    checkpoints = verdicts(report)
    assert list(checkpoints) == list(CHECKPOINTS)
    assert "not run" not in {verdict["verdict"] for verdict in checkpoints.values()}
    training, backward = checkpoints["training"], checkpoints["backward"]
    assert training["float64"] < 1e-6 and training["float32"] < 1e-5
    # The gradients show float32's rounding: of four losses all may be rounded alike.
    assert backward["float64"] < 1e-9 < backward["float32"] < 1e-4
    page = (tmp_path / "report" / "align.html").read_text()
    assert all(name in page for name in CHECKPOINTS) and "http" not in page


def test_the_papers_network_is_aligned(on_small_trees):
    checkpoints = "init,forward,loss,backward,lr,optimizer,training,resume,inference"
    options = ["--model", "alexnet-paper", "--only", checkpoints, "--steps", 3]
    status, report, text = on_small_trees(align, [], *options)
    assert status == 0 and report["aligned"], text
    forward, backward = (verdicts(report)[name] for name in ("forward", "backward"))
    # Paddle's gradient of a mean over 5 channels has 1/5 as a float32, 1.5e-8 off. In float32 a
    # window of pooling may take another of two near maxima, within one framework too: no bound.
    assert backward["float64"] < 2**-24 < backward["float32"]
    assert forward["float64"] < 1e-9


def test_two_processes_train_as_one_does_over_ten_steps(tmp_path, small_trees):
    """Every second step has two images, one for each process."""
    sides = {name: client.Side(name, tree / "port.py") for name, tree in small_trees.items()}
    pair = TrainingPair(sides, tmp_path / "pair", model="alexnet", draw=draw_folder)
    pair.folder.mkdir()
    pair.prepare()
    verdict = distributed.check_distributed(pair, steps=10)
    assert verdict.verdict == "aligned", f"{verdict.where}: {verdict.cause}"
    assert 0 < verdict.float64 < 1e-9


def test_an_operation_that_an_export_cannot_write_is_no_divergence(on_small_trees):
    edits = network("self.avgpool(x)", "self.avgpool(x).cumsum(3)")
    status, report, text = on_small_trees(align, edits, "--only", "inference", torch=edits)
    assert status == 0 and report["aligned"], text
    assert "PaddlePaddle, onnx is not compared" in text and "does not know pd_op.cumsum" in text


def test_a_probe_that_fails_says_what_was_raised():
    said = """Warning: something
Traceback (most recent call last):
  File "/somewhere/train.py", line 7, in step
[rank0]: RuntimeError: Expected to have finished reduction in the prior iteration.
[rank0]: In addition, a variable can be set.
"""
    expected = "RuntimeError: Expected to have finished reduction in the prior iteration."
    assert client._last_line(said) == expected
    assert client._last_line("one\nout of memory\n\n") == "out of memory"


def test_one_side_that_crashes_is_an_error_and_the_others_still_run(on_small_trees):
    update = "epoch.update(loss, metric.count_correct(logits, labels, k=1))"
    edits = edit(update, update.replace("loss,", "unknown,"))
    status, report, text = on_small_trees(align, edits, "--only", "metric,lr")
    checkpoints = verdicts(report)
    assert status == 1 and checkpoints["metric"]["verdict"] == "aligned", text
    assert checkpoints["lr"]["verdict"] == "error" and "unknown" in checkpoints["lr"]["why"]


def test_the_training_is_rehearsed_at_the_size_that_is_named(on_small_trees):
    """A port that takes no other: nothing adapts what the classifier is given to 6 x 6."""
    edits = network("x = self.avgpool(x)", "") + network("256 * 6 * 6", "256 * 2 * 2")
    options = ["--only", "loss,backward", "--image-size", 97]
    status, report, text = on_small_trees(align, edits, *options, torch=edits)
    assert status == 0 and report["aligned"], text
