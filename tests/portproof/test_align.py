"""tools/align.py: faults of the training are caught at their checkpoint; the trees are aligned."""

import sys

import pytest

from common.paths import ROOT
from portproof.checks import distributed
from portproof.core.training_pair import TrainingPair
from portproof.core.verdict import CHECKPOINTS
from portproof.worker import client
from tests.support.helpers import assert_user_error, run
from tests.support.planted_training import FAULTS, PAIRS, SAME, edit, network
from tests.support.seldom import chosen
from tools import align, compare_training
from tools.project import draw_folder

# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    "softmax twice",
    "loss summed",
    "metric as a fraction",
    "ties count",
    "graph cut",
    "a layer frozen",
    "layer left out of the optimizer",
    "no momentum",
    "no weight decay",
    "schedule not attached",
    "schedule not stepped",
    "rate not scaled",
    "resume loses the velocity",
    "bias starts at 0",
    "no train mode",
}

UPDATE = "epoch.update(loss, metric.count_correct(logits, labels, k=1))"


pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture
def check(on_small_trees):
    """Align small copies of both trees; return exit status, JSON and text."""

    def call(edits, *options, torch_edits=()):
        return on_small_trees(align, edits, *options, torch=torch_edits)

    return call


@pytest.mark.parametrize("name", chosen(FAULTS, OFTEN))
def test_a_planted_fault_is_caught_at_its_checkpoint(check, name):
    edits, checkpoint, words = FAULTS[name]
    status, found, text = check(edits, "--only", checkpoint)
    verdict = next(one for one in found["checkpoints"] if one["name"] == checkpoint)
    assert status == 1 and verdict["verdict"] == "diverged", text
    assert found["first_divergence"] == checkpoint and not found["aligned"]
    told = f"{verdict['where']} {verdict['cause']} {verdict['fix']}"
    assert all(word in told for word in words), told


@pytest.mark.parametrize("name", chosen(PAIRS, {"RMSProp's epsilon"}))
def test_a_fault_of_two_optimizers_is_caught(check, name):
    paddle, torch, checkpoint, words = PAIRS[name]
    status, found, text = check(paddle, "--only", checkpoint, torch_edits=torch)
    verdict = next(one for one in found["checkpoints"] if one["name"] == checkpoint)
    assert status == 1 and verdict["verdict"] == "diverged", text
    told = f"{verdict['where']} {verdict['cause']} {verdict['fix']}"
    assert all(word in told for word in words), told


@pytest.mark.parametrize("name", chosen(SAME, {"groups on both sides"}))
def test_optimizers_that_are_the_same_raise_no_alarm(check, name):
    paddle, torch = SAME[name]
    status, found, text = check(
        paddle, "--only", "lr,optimizer,training", "--steps", 4, torch_edits=torch
    )
    assert status == 0 and found["aligned"], text


@pytest.mark.parametrize("momentum", [0.9, 0.1])
def test_the_momentum_of_batch_normalization_shows_in_training(check, momentum):
    conv = "nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2)"
    own = conv.replace("2d", "2D")
    norm = network(conv, f"{conv}, nn.BatchNorm2d(64)")
    edits = network(own, f"{own}, nn.BatchNorm2D(64, momentum={momentum})")
    # Two processes normalize a part of the batch each, which is no fault of the right port.
    only = "training,distributed,inference" if momentum == 0.9 else "training"
    status, found, text = check(edits, "--only", only, "--steps", 3, torch_edits=norm)
    verdict = next(one for one in found["checkpoints"] if one["name"] == "training")
    if momentum == 0.9:  # PyTorch's 0.1
        assert status == 0, text
    else:
        assert status == 1 and verdict["where"].startswith("features.1, step 1"), text
        assert "9 times as much" in verdict["cause"] and "1 minus PyTorch's" in verdict["fix"]


def test_a_constant_that_paddle_keeps_as_float32_is_no_fault(check):
    """The mean over 3 x 3: Paddle multiplies the gradients by 1 / 9, rounded to float32."""

    def edits(layer):
        return [
            *network("stride=4, padding=2", "stride=2, padding=5"),
            *network(f"nn.{layer}((6, 6))", f"nn.{layer}((1, 1))"),
            *network("nn.Linear(256 * 6 * 6, 4096)", "nn.Linear(256, 4096)"),
        ]

    options = ["--only", "backward,training", "--steps", 2]
    status, found, text = check(
        edits("AdaptiveAvgPool2D"), *options, torch_edits=edits("AdaptiveAvgPool2d")
    )
    assert status == 0 and found["aligned"], text
    verdict = found["checkpoints"][CHECKPOINTS.index("backward")]
    assert 1e-9 < verdict["float64"] < 6e-8  # it is there


def test_the_trees_are_aligned_at_every_checkpoint(check, tmp_path):
    status, found, text = check([], "--report", tmp_path / "report", "--steps", 4)
    assert status == 0, text
    assert found["aligned"] and found["first_divergence"] is None
    assert [one["name"] for one in found["checkpoints"]] == list(CHECKPOINTS)
    not_run = [one["name"] for one in found["checkpoints"] if one["verdict"] == "not run"]
    assert not_run == []
    verdicts = {one["name"]: one for one in found["checkpoints"]}
    assert verdicts["training"]["float64"] < 1e-6 and verdicts["training"]["float32"] < 1e-5
    # The gradients show float32's rounding: of four losses all may be rounded alike.
    assert verdicts["backward"]["float64"] < 1e-9 < verdicts["backward"]["float32"] < 1e-4
    page = (tmp_path / "report" / "align.html").read_text()
    assert all(name in page for name in CHECKPOINTS) and "http" not in page


def test_two_processes_train_as_one_does_over_ten_steps(tmp_path, small_trees):
    """Every second step has two images, one for each process."""
    sides = {name: client.Side(name, tree / "port.py") for name, tree in small_trees.items()}
    pair = TrainingPair(sides, tmp_path / "pair", model="alexnet", draw=draw_folder)
    pair.folder.mkdir()
    pair.prepare()
    verdict = distributed.check_distributed(pair, steps=10)
    assert verdict.verdict == "aligned", f"{verdict.where}: {verdict.cause}"
    assert 0 < verdict.float64 < 1e-9


def test_an_operation_that_an_export_cannot_write_is_no_divergence(check):
    edits = network("self.avgpool(x)", "self.avgpool(x).cumsum(3)")
    status, found, text = check(edits, "--only", "inference", torch_edits=edits)
    assert status == 0 and found["aligned"], text
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


def test_one_side_that_crashes_is_an_error_and_the_others_still_run(check):
    edits = edit(UPDATE, UPDATE.replace("loss,", "unknown,"))
    status, found, text = check(edits, "--only", "metric,lr")
    verdicts = {one["name"]: one for one in found["checkpoints"]}
    assert status == 1 and verdicts["metric"]["verdict"] == "aligned", text
    assert verdicts["lr"]["verdict"] == "error" and "unknown" in verdicts["lr"]["why"]


def test_mistakes_are_one_line_and_exit_status_2(tmp_path):
    tool = [sys.executable, ROOT / "tools" / "align.py"]
    assert_user_error(run(*tool, "--only", "backwards"), "backwards", "no checkpoint")
    assert_user_error(run(*tool, "--weights", tmp_path / "no.pth"), "no such file")
    assert_user_error(run(*tool, "--data-path", tmp_path / "no"), "no such folder")


@pytest.mark.parametrize("tool", [align, compare_training])
def test_images_that_a_network_cannot_take_are_a_mistake(tool, capsys):
    with pytest.raises(SystemExit, match="2"):
        tool.main(["--model", "alexnet-paper", "--image-size", "66"])
    assert "alexnet-paper takes images of 67 pixels or more" in capsys.readouterr().err


def test_the_training_is_rehearsed_at_the_size_that_is_named(check):
    """A port that takes no other: nothing adapts what the classifier is given to 6 x 6."""
    edits = network("x = self.avgpool(x)", "") + network("256 * 6 * 6", "256 * 2 * 2")
    options = ["--only", "loss,backward", "--image-size", 97]
    status, found, text = check(edits, *options, torch_edits=edits)
    assert status == 0 and found["aligned"], text
