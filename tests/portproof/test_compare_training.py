"""tools/compare_training.py: real and drawn batches, parameters that are watched."""

import pytest

from portproof.system.errors import UserError
from tests.portproof.commands import explanation
from tests.support.helpers import make_folder
from tests.support.planted_training import FAULTS
from tests.support.planting import Edit
from tools import compare_training

UPDATE = "epoch.update(loss, metric.count_correct(logits, labels, k=1))"
BIAS = "trainer.model.features[0].bias"
HALVED = f"{UPDATE}\nif batch.number == 0:\n    {BIAS}.set_value(0.5 * {BIAS})"
# Edits of the Paddle tree, steps, where the runs part, words of the explanation.
PLANTED = {
    "the schedule": (
        [Edit("args.lr_step_size * steps_per_epoch", "3")], 5,
        "learning rate, step 4", ["optim.py:", "StepDecay"]),
    "a parameter that changes between the steps": (
        [Edit(UPDATE, HALVED, "train_one_epoch")], 3, "features.0.bias, step 2",
        ["in PaddlePaddle it changes between the steps", "set_value"]),
    "no weight decay": (
        FAULTS["no weight decay"][0], 3,
        "update", ["weight decay", "and so of every parameter", "optim.py:"]),
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of four images: a batch of eight an epoch, and one of four."""
    return make_folder(tmp_path_factory.mktemp("data") / "small", train=4, val=2)


@pytest.fixture
def compare(on_small_trees):
    def call(*options, paddle=()):
        return on_small_trees(compare_training, paddle, *options)

    return call


def test_on_images_both_stay_together_over_epochs(compare, images, tmp_path):
    options = "--data-path", images, "--steps", 8, "--report", tmp_path / "page"
    status, report, text = compare(*options)
    assert status == 0 and report["aligned"], text
    training = report["checkpoints"][0]
    assert training["float64"] < 1e-12 < training["float32"] < 1e-4
    assert len(report["losses"]["float64"]["torch"]) == 8
    assert (tmp_path / "page" / "align.html").read_text().count("data:image/png") == 1


def test_a_parameter_is_watched_on_drawn_numbers(compare):
    watched = ["--watch", "classifier.6.weight", "--watch", "features.0.bias"]
    status, _, text = compare("--drawn", "--steps", 2, *watched)
    assert status == 0, text
    lines = [line.split() for line in text.splitlines() if line.startswith("  step")]
    assert len(lines) == 2 * 2 * 3  # parameters, steps, and before, gradient, after
    for _, _, kind, *numbers in lines:
        assert kind in ("before", "gradient", "after") and len(numbers) == 4
        torch, paddle = map(float, numbers[:2]), map(float, numbers[2:])
        assert list(torch) == pytest.approx(list(paddle), rel=1e-9)


def test_other_images_are_a_matter_of_the_data(compare, images):
    edits = [Edit("0.229", "0.23")]
    status, report, text = compare("--data-path", images, "--steps", 3, paddle=edits)
    verdict = report["checkpoints"][0]
    assert status == 1 and verdict["where"].startswith("batch"), text
    assert "images" in verdict["cause"] and "portproof data" in verdict["fix"]
    assert report["first_divergence"] == "training"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_at_its_step(compare, name):
    edits, steps, where, words = PLANTED[name]
    status, report, text = compare("--drawn", "--steps", steps, paddle=edits)
    verdict = report["checkpoints"][0]
    assert status == 1 and where in verdict["where"], text
    assert all(word in explanation(verdict) for word in words), text


def test_an_unknown_parameter_is_named_with_those_that_there_are(compare):
    with pytest.raises(UserError, match=r"classifier\.7.*classifier\.6\.weight"):
        compare("--drawn", "--steps", 1, "--watch", "classifier.7")
