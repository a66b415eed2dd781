"""tools/compare_training.py: real and drawn batches, parameters that are watched, mistakes."""

import json
import sys

import pytest

from common.paths import ROOT
from portproof.system.errors import UserError
from tests.support.helpers import assert_user_error, make_folder, run
from tests.support.planted_training import FAULTS
from tests.support.planting import Edit
from tests.support.trees import SMALL, copy_tree
from tools import compare_training

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of nine images: three batches of eight an epoch, and one of three."""
    return make_folder(tmp_path_factory.mktemp("data") / "small", train=9, val=2)


@pytest.fixture
def call(tmp_path, small_trees, capsys):
    def run_tool(*options, paddle=None):
        file = tmp_path / "found.json"
        argv = ["--torch-tree", small_trees["torch"], "--json", file]
        argv += ["--paddle-tree", paddle or small_trees["paddle"], *options]
        status = compare_training.main([str(word) for word in argv])
        return status, json.loads(file.read_text()), capsys.readouterr().out

    return run_tool


def test_on_images_both_stay_together_over_epochs(call, images, tmp_path):
    options = "--data-path", images, "--steps", 12, "--report", tmp_path / "page"
    status, found, text = call(*options)
    assert status == 0 and found["aligned"], text
    training = found["checkpoints"][0]
    assert training["float64"] < 1e-12 < training["float32"] < 1e-4
    assert len(found["losses"]["float64"]["torch"]) == 12
    assert (tmp_path / "page" / "align.html").read_text().count("data:image/png") == 1


def test_a_parameter_is_watched_on_drawn_numbers(call):
    options = (
        "--drawn",
        "--steps",
        2,
        "--watch",
        "classifier.6.weight",
        "--watch",
        "features.0.bias",
    )
    status, _, text = call(*options)
    assert status == 0, text
    lines = [line.split() for line in text.splitlines() if line.startswith("  step")]
    assert len(lines) == 2 * 2 * 3  # parameters, steps, and before, gradient, after
    for _, _, kind, *numbers in lines:
        assert kind in ("before", "gradient", "after") and len(numbers) == 4
        torch, paddle = map(float, numbers[:2]), map(float, numbers[2:])
        assert list(torch) == pytest.approx(list(paddle), rel=1e-9)


def test_other_images_are_a_matter_of_the_data(call, images, tmp_path):
    edit = Edit("0.229", "0.23")
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", [edit, *SMALL])
    status, found, text = call("--data-path", images, "--steps", 3, paddle=tree)
    verdict = found["checkpoints"][0]
    assert status == 1 and verdict["where"].startswith("batch"), text
    assert "images" in verdict["cause"] and "portproof data" in verdict["fix"]
    assert found["first_divergence"] == "training"


def test_a_fault_of_the_schedule_is_found_at_its_step(call, tmp_path):
    edit = Edit("args.lr_step_size * steps_per_epoch", "3")
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", [edit, *SMALL])
    status, found, text = call("--drawn", "--steps", 5, paddle=tree)
    verdict = found["checkpoints"][0]
    assert status == 1 and verdict["where"] == "learning rate, step 4", text
    assert "optim.py:" in verdict["fix"] and "StepDecay" in verdict["fix"]


def test_a_parameter_that_changes_between_the_steps_is_told(call, tmp_path):
    line = "epoch.update(loss, metric.count_correct(logits, labels, k=1))"
    bias = "trainer.model.features[0].bias"
    change = f"if batch.number == 0:\n    {bias}.set_value(0.5 * {bias})"
    edit = Edit(line, f"{line}\n{change}", "train_one_epoch")
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", [edit, *SMALL])
    status, found, text = call("--drawn", "--steps", 3, paddle=tree)
    verdict = found["checkpoints"][0]
    assert status == 1 and verdict["where"] == "features.0.bias, step 2", text
    assert "in PaddlePaddle it changes between the steps" in verdict["cause"]
    assert "set_value" in verdict["fix"]


def test_decay_is_told_from_momentum_in_training(call, tmp_path):
    edits = FAULTS["no weight decay"][0]
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", edits + SMALL)
    status, found, text = call("--drawn", "--steps", 3, paddle=tree)
    verdict = found["checkpoints"][0]
    assert status == 1 and "update" in verdict["where"], text
    assert "weight decay" in verdict["cause"] and "and so of every parameter" in verdict["cause"]
    assert "optim.py:" in verdict["fix"]


def test_mistakes_are_one_line_and_exit_status_2(tmp_path):
    tool = [sys.executable, ROOT / "tools" / "compare_training.py"]
    assert_user_error(run(*tool, "--steps", "0"), "--steps")
    assert_user_error(run(*tool, "--data-path", tmp_path / "no"), "no such path")
    assert_user_error(run(*tool, "--watch"), "--watch")


def test_an_unknown_parameter_is_named_with_those_that_there_are(call):
    with pytest.raises(UserError, match=r"classifier\.7.*classifier\.6\.weight"):
        call("--drawn", "--steps", 1, "--watch", "classifier.7")
