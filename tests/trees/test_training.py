"""train.py of both trees, from the command line, on real files."""

import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
import termios
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import save_file

from common.training.run_folder import read_metrics
from tests.crash import arrays
from tests.support import helpers, preloaded
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_success, assert_user_error, run_mains
from tests.support.training_steps import run_steps
from tests.support.trees import RUN_FILES, TINY, run_parts, run_train

FIELDS = {"epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5"}
FIELDS |= {"images_per_s", "data_seconds", "compute_seconds", "seconds"}
# One step of 8 images and one of 10 an epoch.
SMALL = ["--recipe", "sample", "--image-size", 63, "--batch-size", 10, "--warmup-epochs", 0.5]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def straight(request, small_folder, small_trees, tmp_path_factory):
    """A run of two epochs: (framework, run folder, its options)."""
    framework = request.param
    out = tmp_path_factory.mktemp("runs") / framework
    options = ["--data-path", small_folder, *SMALL, "--epochs", 2, "--seed", 4]
    command = [sys.executable, small_trees[framework] / "train.py", *options]  # as a user does
    done = assert_success(helpers.run(*command, "--output-dir", out))
    (out / "stdout").write_text(done.stdout)
    assert "Warning" not in done.stderr  # of the framework, about the tree's own code
    return framework, out, options


@pytest.fixture
def train(straight, small_trees):
    """A function that runs train.py of the same tree."""
    framework = straight[0]
    return partial(run_train, framework, tree=small_trees[framework])


def test_a_run_leaves_all_that_it_should(straight):
    framework, out, _ = straight
    suffix = SUFFIX[framework]
    left = {path.name.partition("-")[0] for path in out.iterdir()} - {"stdout"}
    assert left == RUN_FILES | {"checkpoint", f"last{suffix}", f"best{suffix}"}
    described = json.loads((out / "args.json").read_text())
    assert described["arguments"]["seed"] == 4
    assert described["versions"]["numpy"] == np.__version__
    assert described["machine"]["cores"] >= 1
    page = (out / "misclassified.html").read_text()
    assert page.count("<img") == int(page.split("<p>")[1].split()[0])


def test_metrics_have_the_promised_fields(straight):
    _, out, _ = straight
    rows = read_metrics(out)
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert set(row) == FIELDS
        assert 0 <= row["val_top1"] <= row["val_top5"] == 100  # three classes
        assert abs(row["train_loss"] - np.log(3)) < 0.2  # hardly trained
        assert row["images_per_s"] > 0
        assert 0 < row["data_seconds"] + row["compute_seconds"] < row["seconds"]


def test_output_is_quiet_and_says_both_learning_rates(small_folder, straight):
    _, out, _ = straight
    text = (out / "stdout").read_text()
    assert "\r" not in text and "it/s" not in text  # no bar without a terminal
    assert "in the recipe" in text and "here" in text
    assert text.count("epoch 2/2:") == 1


def test_a_resumed_run_ends_with_the_same_weights(straight, small_trees, tmp_path):
    framework, _out, options = straight
    first = tmp_path / "first"
    short = ["--epochs", 1, "--warmup-epochs", 0, "--schedule", "step", "--output-dir", first]
    long = [*options, "--warmup-epochs", 0, "--schedule", "step"]
    checkpoint, whole = first / f"last{SUFFIX[framework]}", tmp_path / "whole"
    resumed = ["--resume", checkpoint, "--epochs", 2]
    words = [[*options, *short], resumed, [*long, "--output-dir", whole]]
    commands = [("train", command) for command in words]
    for done in run_mains(small_trees[framework], tmp_path, *commands):
        assert_success(done)
    assert arrays(checkpoint) == arrays(whole / checkpoint.name)
    keep = ("epoch", "lr", "train_loss", "val_loss")
    resumed, unbroken = map(read_metrics, (first, whole))
    assert [[row[k] for k in keep] for row in resumed] == [[r[k] for k in keep] for r in unbroken]


def test_evaluation_alone_gives_the_same_numbers(straight, train, small_folder):
    framework, out, _ = straight
    weights = out / f"last{SUFFIX[framework]}"
    options = ["--data-path", small_folder, *TINY, "--batch-size", 5]
    done = assert_success(train("--eval-only", "--weights", weights, *options))
    last = read_metrics(out)[-1]
    for name in ("val_loss", "val_top1"):
        assert f"{name} {last[name]:.6g}" in done.stdout


def test_weights_of_another_number_of_classes_name_the_layer(straight, train, images, tmp_path):
    framework, out, _ = straight
    for split in ("train", "val"):
        shutil.rmtree(images / split / "bars")
    options = ["--data-path", images, "--epochs", 1, "--output-dir", tmp_path / "run"]
    done = train("--weights", out / f"last{SUFFIX[framework]}", *options)
    assert_user_error(done, "classifier.6.weight", "number of classes")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_not_written_over(straight, train):
    _, out, options = straight
    before = (out / "metrics.jsonl").read_text()
    assert_user_error(train(*options, "--output-dir", out), "holds another run")
    assert (out / "metrics.jsonl").read_text() == before


def test_files_that_are_no_weights_are_refused(straight, small_folder, small_trees, tmp_path):
    framework, out, _ = straight
    suffix = SUFFIX[framework]
    other = SUFFIX[{"torch": "paddle", "paddle": "torch"}[framework]]
    whole = (out / f"last{suffix}").read_bytes()
    contents = {f"half{suffix}": whole[: len(whole) // 2], f"text{suffix}": b"no weights"}
    contents |= {f"empty{suffix}": b"", f"foreign{other}": b"x", "a.safetensors": b"\xff" * 64}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    options = ["--eval-only", "--data-path", small_folder, "--weights"]
    commands = [("train", [*options, tmp_path / name]) for name in contents]
    runs = run_mains(small_trees[framework], tmp_path, *commands)
    for name, done in zip(contents, runs, strict=True):
        assert_user_error(done, str(tmp_path / name))


def test_the_first_twenty_losses_agree(small_folder, small_trees, tmp_path):
    """From the same weights, on the same files, with dropout 0."""
    options = ["--data-path", small_folder, *SMALL, "--epochs", 10, "--lr", 0.02, "--dropout", 0]
    weights = tmp_path / "weights.safetensors"
    request = {"weights": {"num_classes": 3}}
    parts = run_parts("torch", tmp_path / "weights", tree=small_trees["torch"], **request)
    tensors = parts["weights"].items()
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors}, weights)
    options += ["--workers", 0, "--weights", weights, "--output-dir"]
    runs = {name: [*options, tmp_path / f"run-{name}"] for name in small_trees}
    steps = (run_steps(small_trees[name], tmp_path / name, runs[name]) for name in runs)
    (torch,), (paddle,) = steps
    assert torch["loss"].shape == paddle["loss"].shape == (20,)
    np.testing.assert_allclose(paddle["lr"], torch["lr"], rtol=1e-9)
    assert len(set(torch["loss"].tolist())) == 20  # each step saw other images
    assert np.abs(torch["loss"] - paddle["loss"]).max() < 1e-5


def test_a_terminal_shows_a_bar(small_folder, small_trees, tmp_path, framework):
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    command = [preloaded.interpreter(framework), small_trees[framework] / "train.py", "--data-path"]
    command += [small_folder, *SMALL, "--epochs", 1, "--output-dir", tmp_path / "run"]
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=follower) as process:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 4096):
                shown += piece
        except OSError:  # a terminal whose last writer is gone
            pass
    os.close(leader)
    assert process.returncode == 0, shown
    for word in ("epoch 1/1", "loss", "top-1", "lr", "images/s", "<", "evaluating"):
        assert word.encode() in shown
