"""experiments.accuracy: a table of trainings that grows, and its page."""

import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from common.tables import read_csv
from experiments import accuracy
from tests.support.helpers import assert_success, assert_user_error, call_main, run, start
from tests.support.logs import write_run

TINY = ["--image-size", 64, "--epochs", 1, "--warmup-epochs", 0, "--batch-size", 6, "--workers", 0]
USAGE = [
    ("a.csv", [], "--recipe names what to train by"),
    ("none/a.csv", ["--recipe", "sample"], "there is no folder"),
    ("a.txt", ["--recipe", "sample"], "ends in .csv"),
    ("other.csv", ["--recipe", "sample"], "not a table of this command"),
    ("a.csv", ["--data-path", ".", "--dataset", "cifar10"], "not allowed with"),
]
# In the place of bash: a training that saves when it is told to end.
TRAINING = """#!/bin/sh
trap 'kill $!; sleep 0.3; echo saved; exit 143' INT TERM
sleep 60 >/dev/null 2>&1 &
echo begun
wait
"""


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Made-up trainings: a call of the command, what is done, other exit statuses, the table."""
    made_up = SimpleNamespace(done=[], statuses={}, table=tmp_path / "a.csv")

    def train(runner, training):
        name = (training.framework, training.seed)
        made_up.done.append(name)
        if name not in made_up.statuses:
            top1 = {"torch": 80, "paddle": 79}[training.framework] + training.seed
            fast = "--fast" in training.args.more
            write_run(training.folder, *name, top1, epochs=1, planned=1, fast=fast, seconds=90)
        return made_up.statuses.get(name, 0)

    monkeypatch.setattr(accuracy, "train", train)

    def call(*options):
        words = ["--table", made_up.table, "--runs", tmp_path / "runs", "--recipe", "sample"]
        return accuracy.main([str(word) for word in [*words, *options]])

    made_up.call = call
    return made_up


def test_each_training_is_done_once_and_the_page_says_what_they_differ_by(trained, capsys):
    assert trained.call("--seeds", 0, 1) == 0
    assert trained.done == [("torch", 0), ("paddle", 0), ("torch", 1), ("paddle", 1)]
    assert trained.call("--seeds", 0, 1, 2) == 0
    assert trained.done[4:] == [("torch", 2), ("paddle", 2)]
    assert capsys.readouterr().out.count("is in a.csv") == 4
    rows = read_csv(trained.table)
    expected = [(framework, seed) for framework in ("paddle", "torch") for seed in "012"]
    assert [(row["framework"], row["seed"]) for row in rows] == expected
    command = "bash scripts/train.sh --framework paddle --recipe sample --seed 0"
    assert rows[0]["command"] == command
    page = trained.table.with_suffix(".md").read_text()
    assert "| sample |  | PaddlePaddle | 0 1 2 | 80.00 ± 1.00 | 99.00 ± 0.00 | 1 | 5 | 2 |" in page
    # Welch: -1 ± t(0.975, 4) sqrt(2/3) = 2.776 * 0.816
    assert "is -1.00 points, 95 % interval -3.27 to +1.27 (Welch); 0 is in it" in page
    # TOST: -1 ± t(0.95, 4) sqrt(2/3) = 2.132 * 0.816
    assert "agree within 2.74 points: the 90 % interval is -2.74 to +0.74" in page
    assert "bash scripts/train.sh --framework torch --recipe sample --seed SEED" in page
    assert "| torchvision, `AlexNet_Weights.IMAGENET1K_V1` | 56.522 | 79.066 |" in page
    chinese = trained.table.with_name("a.zh-CN.md").read_text()
    assert "| sample |  | PaddlePaddle | 0 1 2 | 80.00 ± 1.00 | 99.00 ±" in chinese
    assert "为 -1.00 个百分点，95 % 区间 -3.27 到 +1.27（Welch 法）；区间含 0" in chinese
    assert "](a.csv)" in page and "](a.csv)" in chinese


def test_other_options_are_another_set(trained):
    for more in ([], ["--", "--fast", "--epochs", 1]):
        assert trained.call("--frameworks", "torch", "--seeds", 0, *more) == 0
    assert trained.done == [("torch", 0)] * 2
    assert [row["options"] for row in read_csv(trained.table)] == ["", "--fast --epochs 1"]
    page = trained.table.with_suffix(".md").read_text()
    assert "| sample | `--fast --epochs 1` | PyTorch | 0 | 80.00 | 99.00 |" in page
    assert "points" not in page  # nothing to hold against one framework alone


def test_other_images_are_not_taken_for_those_of_the_table(trained, small_folder, tmp_path, capsys):
    options = ["--frameworks", "torch", "--seeds", 0, "--data-path"]
    trained.call(*options, small_folder)
    other = shutil.copytree(small_folder, tmp_path / "other")
    trained.call(*options, other)  # the same images in another place
    (first, *_) = sorted((other / "val").glob("*/*"))
    first.write_bytes(first.read_bytes() + b"\0")
    with pytest.raises(accuracy.UserError, match=r"of other images .*name another --table"):
        trained.call(*options, other)
    with pytest.raises(SystemExit):
        trained.call(*options, tmp_path / "nowhere")
    assert "nowhere: there is no such folder" in capsys.readouterr().err
    assert trained.done == [("torch", 0)]
    (row,) = read_csv(trained.table)
    assert f"{row['pictures']}. (The digits" in trained.table.with_suffix(".md").read_text()


def test_the_epochs_of_each_training_lie_beside_the_table(trained):
    for more in ([], ["--", "--fast"]):
        trained.call("--frameworks", "torch", "--seeds", 0, 1, *more)
    epochs = read_csv(trained.table.with_name("a-epochs.csv"))
    expected = [("", "0"), ("", "1"), ("--fast", "0"), ("--fast", "1")]
    assert [(row["options"], row["seed"]) for row in epochs] == expected
    assert (epochs[1]["epoch"], epochs[1]["val_top1"], epochs[1]["lr"]) == ("1", "81", "0.01")


def test_a_training_without_a_time_is_left_out_of_the_minutes(trained):
    trained.call("--frameworks", "torch", "--seeds", 0, 1)
    trained.table.write_text(trained.table.read_text().replace(",90,", ",,", 1))
    trained.call("--frameworks", "torch", "--seeds", 0, 1)
    assert "| 2 (1 of 2 timed) |" in trained.table.with_suffix(".md").read_text()


def test_calls_may_share_a_table(trained, monkeypatch):
    train = accuracy.train

    def beside_another(runner, training):
        if training.seed == 0:
            trained.call("--frameworks", "torch", "--seeds", 1)
        return train(runner, training)

    monkeypatch.setattr(accuracy, "train", beside_another)
    trained.call("--frameworks", "torch", "--seeds", 0)
    assert [row["seed"] for row in read_csv(trained.table)] == ["0", "1"]
    assert "| PyTorch | 0 1 | 80.50 ± 0.71 |" in trained.table.with_suffix(".md").read_text()


@pytest.mark.parametrize(("ended", "status"), [(130, 130), (143, 130), (1, None)])
def test_what_was_done_before_an_end_is_kept(trained, ended, status):
    trained.statuses["paddle", 0] = ended
    if status is None:
        with pytest.raises(accuracy.RunError, match="exit status 1"):
            trained.call()
    else:
        assert trained.call() == status
    assert [row["framework"] for row in read_csv(trained.table)] == ["torch"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_is_waited_for(number, small_folder, tmp_path):
    (tmp_path / "bash").write_text(TRAINING)
    (tmp_path / "bash").chmod(0o755)
    words = [sys.executable, "-m", "experiments.accuracy", "--recipe", "sample"]
    words += ["--data-path", small_folder]
    words += ["--table", tmp_path / "a.csv", "--runs", tmp_path / "runs"]
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    process = start(*words, stdout=subprocess.PIPE, env=environment, start_new_session=True)
    said = [process.stdout.readline() for _ in range(2)]  # the command, and what it says first
    assert said[1] == "begun\n"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    rest = process.communicate(timeout=60)[0]
    assert rest.splitlines() == ["saved", "stopped; the same command resumes here"]
    assert process.returncode == 130
    assert not (tmp_path / "a.csv").exists()


def test_a_training_by_train_sh_becomes_a_row(small_folder, tmp_path):
    table = tmp_path / "a.csv"
    words = ["--recipe", "sample", "--frameworks", "torch", "--seeds", 3, "--table", table]
    words += ["--data-path", small_folder, "--runs", tmp_path / "runs", "--", *TINY]
    assert_success(run(sys.executable, "-m", "experiments.accuracy", *words))
    (row,) = read_csv(table)
    assert (row["framework"], row["seed"], row["epochs"]) == ("torch", "3", "1")
    metrics = (tmp_path / "runs").glob("*/metrics.jsonl")
    (last,) = [json.loads(line) for path in metrics for line in path.read_text().splitlines()]
    assert float(row["val_top1"]) == round(last["val_top1"], 4)
    assert "--data-path DIR" in row["command"]  # no path of this machine


@pytest.mark.parametrize(("table", "words", "message"), USAGE)
def test_wrong_usage(table, words, message, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    done = call_main("experiments.accuracy", "--table", tmp_path / table, *words)
    assert_user_error(done, message)
