"""A port by parts is held against another at every checkpoint that its functions allow."""

import pytest

from portproof.cli import align
from portproof.core.verdict import CHECKPOINTS
from tests.portproof import small_ports
from tests.portproof.commands import verdicts

OPTIMIZER = "def optimizer():\n    pass\n"


def replacing(old, new):
    return lambda text: text.replace(old, new)


@pytest.fixture
def check(tmp_path, kept_probes, run_tool):
    """A function that aligns ports with edits; it returns exit status and verdicts."""

    def call(edit=lambda text: text, only=CHECKPOINTS):
        for split in ("train", "val"):  # what these ports do not read
            (tmp_path / "data" / split / "class").mkdir(parents=True)
            (tmp_path / "data" / split / "class" / "0.jpg").touch()
        options = ["--only", ",".join(only), "--data-path", tmp_path / "data"]
        status, report, _ = run_tool(align, *small_ports.write(tmp_path, edit), *options)
        return status, verdicts(report)

    return call


def test_every_checkpoint_but_the_one_that_wants_a_loop_is_aligned(check):
    status, checkpoints = check()
    assert status == 0, checkpoints
    outcomes = {name: verdict["verdict"] for name, verdict in checkpoints.items()}
    assert outcomes == dict.fromkeys(CHECKPOINTS, "aligned") | {"distributed": "not run"}
    assert checkpoints["distributed"]["why"] == "neither port has train()"


def test_a_run_that_loses_its_optimizer_is_named(check):
    status, checkpoints = check(replacing("    optimizer.set_state_dict(state)\n", ""), ["resume"])
    resume = checkpoints["resume"]
    assert status == 1 and resume["verdict"] == "diverged"
    assert resume["where"].startswith("PaddlePaddle")
    assert "velocity is lost" in resume["cause"]


def test_a_metric_that_is_no_per_cent_is_named(check):
    hits = 'float((outputs.argmax(1) == batch["labels"]).ast'  # as it stands in Paddle's port
    status, checkpoints = check(replacing(f"100 * {hits}", hits), ["metric"])
    assert status == 1 and "PaddlePaddle: 0.15" in checkpoints["metric"]["cause"]


def test_a_checkpoint_without_its_functions_is_not_run_and_names_them(check):
    status, checkpoints = check(lambda text: text.partition("def loss")[0] + OPTIMIZER)
    assert status == 0, checkpoints
    ran = [name for name, verdict in checkpoints.items() if verdict["verdict"] == "aligned"]
    assert ran == ["init", "forward"]
    assert checkpoints["data"]["why"] == "neither port has batches()"
    assert "has train(), or else train_step(), or else loss()" in checkpoints["lr"]["why"]
    assert "or else loss() and save() and restore()" in checkpoints["resume"]["why"]


def test_a_network_that_cannot_be_made_is_told_of_at_each_checkpoint(check):
    names = ["init", "forward", "loss", "lr"]
    status, checkpoints = check(replacing("last = nn", "last = mm"), [*names, "metric"])
    assert status == 1
    assert checkpoints["metric"]["verdict"] == "aligned"  # it needs no network of the port's
    for name in names:
        assert checkpoints[name]["verdict"] == "error"
        assert "NameError: name 'mm' is not defined" in checkpoints[name]["why"]
