"""What nobody means to do to a training: each ends in one line, in time, with nothing lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.paths import ROOT
from common.training import model_files
from portproof.system.errors import UserError
from tests.support import preloaded
from tests.support.helpers import (
    TIMEOUT,
    assert_success,
    assert_user_error,
    is_running,
    run,
    start,
    wait_until,
)
from tests.support.trees import TINY, run_train, run_train_changed

# A loader that gives its first batch of training, and then, having said so, waits for ever.
HANGS = """
import os, sys, time
from common.data import draws
shown, draw = [], draws.flip
def wait(seed, epoch, index):
    shown.append(index)
    if len(shown) > 12:
        open({said!r}, "w").close()
        time.sleep(600)
    return draw(seed, epoch, index)
draws.flip = wait
from common.training import signals
signals.PATIENCE = 1.0
from common.data import workers
workers.LONG = 0.5
"""


@pytest.fixture
def train(framework, small_trees):
    """A function that trains the small network of a tree, to the end."""

    def run(*options, change="", **environment):
        options = [*TINY, "--image-size", 64, *options]
        tree = small_trees[framework]
        if change:
            return run_train_changed(framework, change, *options, tree=tree, **environment)
        return run_train(framework, *options, tree=tree, **environment)

    return run


@pytest.fixture
def begin(framework, small_trees):
    """A function that starts such a training; it is killed at the end of the test."""
    processes = []

    def run(*options, change=""):
        tree = small_trees[framework]
        program = f"import sys\nsys.path.insert(0, {str(tree)!r})\n{change}\nimport train\n"
        words = [str(option) for option in [*TINY, "--image-size", 64, *options]]
        program += f"train.errors.run(lambda: train.main({words!r}))"
        python = preloaded.interpreter(framework)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        processes.append(start(python, "-c", program, start_new_session=True, **pipes))
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def holder(run):
    """The process that writes a run folder; that of `begin` may only stand for it."""
    return json.loads((run / ".lock").read_text())["process"]


def error_line(text):
    (line,) = [line for line in text.splitlines() if "error:" in line]
    assert "Traceback" not in text
    return line


def test_a_second_training_in_a_folder_is_refused(begin, train, small_folder, tmp_path):
    """The same command given twice, as of a job that was queued again."""
    run, said = tmp_path / "run", tmp_path / "said"
    options = ["--data-path", small_folder, "--output-dir", run, "--resume", "auto"]
    first = begin(*options, change=HANGS.format(said=str(said)))
    wait_until(said.exists, first)
    assert_user_error(train(*options), str(run / ".lock"), f"process {holder(run)} on ")
    assert_user_error(train(*options, "--eval-only"), "--eval-only needs the weights to measure")
    os.kill(holder(run), signal.SIGKILL)
    first.wait(TIMEOUT)
    assert_success(train(*options))
    assert not (run / ".lock").exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_start_that_fails_leaves_nothing(train, images, tmp_path):
    """Here with the first batch: an image that cannot be read."""
    for path in images.glob("train/*/*.jpg"):
        path.write_bytes(b"no image")
    run = tmp_path / "runs" / "new"
    assert_user_error(train("--data-path", images, "--output-dir", run), "cannot be read")
    assert not (tmp_path / "runs").exists()


def test_one_that_failed_after_its_first_step_begins_anew_as_it_was(train, images, tmp_path):
    run = tmp_path / "run"
    stop = "import signal\nfrom common.training.epoch import Epoch\n"
    stop += "Epoch.metrics = lambda self: signal.raise_signal(signal.SIGKILL)"
    done = train("--data-path", images, "--output-dir", run, "--seed", 5, change=stop)
    assert done.returncode == -signal.SIGKILL and list(run.glob("checkpoint-*")) == []
    done = assert_success(train("--resume", "auto", "--output-dir", run))
    assert "data: 18 train, 12 val images" in done.stdout
    assert json.loads((run / "args.json").read_text())["arguments"]["seed"] == 5


def test_too_little_shared_memory_is_named(framework, small_trees, small_folder, tmp_path):
    """/dev/shm of 1 MB, in a mount namespace of its own; Docker's is 64 MB."""
    options = [*TINY, "--image-size", 224, "--workers", 2, "--data-path", small_folder]
    options += ["--output-dir", tmp_path / "run"]
    program = [sys.executable, small_trees[framework] / "train.py", *options]
    script = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    as_root = ["--user", "--map-root-user"] if os.geteuid() else []
    done = run("unshare", "--mount", *as_root, "bash", "-c", script, "bash", *program)
    assert_user_error(done, "/dev/shm", "--workers 0", "--shm-size")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_waits_is_named_and_does_not_hold_a_signal_up(
    begin, small_folder, tmp_path, workers
):
    run, said = tmp_path / "run", tmp_path / "said"
    options = ["--data-path", small_folder, "--output-dir", run, "--workers", workers]
    process = begin(*options, change=HANGS.format(said=str(said)))
    wait_until(said.exists, process)
    time.sleep(1)
    process.terminate()
    status = process.wait(30)
    text = process.communicate()[0]
    assert status == 128 + signal.SIGTERM, text
    assert "warning: the loader has given no images for" in text
    (line,) = [line for line in text.splitlines() if line.startswith("stopped by SIGTERM")]
    assert "not saved" in line


def test_a_killed_worker_is_one_line(begin, small_folder, tmp_path):
    run, said = tmp_path / "run", tmp_path / "said"
    options = ["--data-path", small_folder, "--output-dir", run, "--workers", 1]
    process = begin(*options, change=HANGS.format(said=str(said)))
    wait_until(said.exists, process)
    children = Path("/proc").glob(f"{holder(run)}/task/*/children")
    workers = {int(word) for path in children for word in path.read_text().split()}
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert workers and process.wait(TIMEOUT) == 2
    line = error_line(process.communicate()[0])
    assert "a worker that reads images has been killed" in line and "--workers" in line
    wait_until(lambda: not any(map(is_running, workers)))


def test_a_signal_in_the_evaluation_saves_what_was_trained(train, images, tmp_path):
    """The resumed run has no step to take, and the weights of one that was not stopped."""
    stop = "import os, signal\nimport metric\nupdate = metric.EvaluationMeter.update\n"
    stop += "def stopped(*words):\n    os.kill(os.getpid(), signal.SIGTERM)\n    update(*words)\n"
    stop += "metric.EvaluationMeter.update = stopped"
    run, whole = tmp_path / "run", tmp_path / "whole"
    done = train("--data-path", images, "--output-dir", run, change=stop)
    assert done.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM: step 3 is over and saved" in done.stderr
    assert not (run / "metrics.jsonl").exists()
    assert_success(train("--output-dir", run, "--resume", "auto"))
    assert_success(train("--data-path", images, "--output-dir", whole))
    rows = [json.loads((folder / "metrics.jsonl").read_text()) for folder in (run, whole)]
    same = ("epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5")
    assert [rows[0][name] for name in same] == [rows[1][name] for name in same]


def test_a_long_thin_image_is_refused_by_name(train, images, tmp_path):
    """By its shorter side made 73 pixels, it would be 3.6 million pixels long."""
    thin = next(images.glob("val/*/*.jpg"))
    Image.new("RGB", (1, 50_000)).save(thin.with_suffix(".png"))
    done = train("--data-path", images, "--output-dir", tmp_path / "run")
    assert_user_error(done, str(thin.with_suffix(".png")), "1 x 50000 pixels")


def test_a_closed_output_does_not_end_a_run(framework, small_trees, small_folder, tmp_path):
    run = tmp_path / "run"
    command = [preloaded.interpreter(framework), small_trees[framework] / "train.py", *TINY]
    command += ["--image-size", 64, "--data-path", small_folder, "--output-dir", run]
    process = start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith("run folder:")
    process.stdout.close()
    assert process.wait(TIMEOUT) == 0, process.stderr.read()
    assert "Traceback" not in process.stderr.read() and (run / "curves.png").exists()
    process.stderr.close()


def test_a_run_folder_that_is_deleted_is_one_line(begin, small_folder, tmp_path):
    run = tmp_path / "run"
    change = "import shutil\nimport metric\nupdate = metric.EvaluationMeter.update\n"
    change += "def gone(*words):\n"
    change += f"    shutil.rmtree({str(run)!r}, ignore_errors=True)\n    update(*words)\n"
    change += "metric.EvaluationMeter.update = gone"
    process = begin("--data-path", small_folder, "--output-dir", run, change=change)
    text = process.communicate(timeout=TIMEOUT)[0]
    assert process.returncode == 2 and "the run folder is gone" in error_line(text), text
    assert not run.exists()


def test_a_checkpoint_that_cannot_be_written_takes_its_metrics_along(train, images, tmp_path):
    full = "import errno\nimport checkpoint\n"
    full += "def save(path, contents):\n    raise OSError(errno.ENOSPC, 'No space left')\n"
    full += "checkpoint.save = save"
    run = tmp_path / "run"
    done = train("--data-path", images, "--output-dir", run, change=full)
    assert_user_error(done, "the checkpoint of step 3 cannot be written")
    assert (run / "metrics.jsonl").read_text() == ""


def test_out_of_memory_is_one_line_whoever_says_it(train, small_folder, tmp_path):
    for error in ("MemoryError()", "RuntimeError('(ResourceExhausted) Fail to alloc memory of 9')"):
        change = f"import metric\ndef count(*words, **more):\n    raise {error}\n"
        change += "metric.count_correct = count"
        run = tmp_path / "run"
        done = train("--data-path", small_folder, "--output-dir", run, change=change)
        assert_user_error(done, "out of memory", "--batch-size")
        assert not run.exists()


def test_the_code_of_another_clone_is_not_run(framework, small_trees, tmp_path):
    """A copy of a clone with its .venv would import common/ from the first one."""
    clone = tmp_path / "clone"
    shutil.copytree(small_trees[framework], clone / f"AlexNet-{framework}")
    (clone / "portproof" / "system").mkdir(parents=True)
    shutil.copy(ROOT / "portproof/system/errors.py", clone / "portproof/system")
    done = run_train(framework, *TINY, tree=clone / f"AlexNet-{framework}")
    assert_user_error(done, str(ROOT), "bash scripts/setup.sh")


def test_a_bias_alone_makes_no_network():
    """A few bytes could claim a million classes; a network of them takes 16 GB."""
    weight, bias = (np.broadcast_to(np.float32(0), shape) for shape in ((10**6, 4096), 10**6))
    names = model_files.LAST_LAYER
    assert (
        model_files.count_outputs(Path("a.pth"), dict(zip(names, (weight, bias), strict=True)))
        == 10**6
    )
    with pytest.raises(UserError, match=r"has no layer classifier\.6"):
        model_files.count_outputs(Path("a.pth"), {names[1]: bias})


# Says why torch.load refuses a file with an object in it, and one that shows a number a million
# times.
REFUSED = """
import argparse, sys
from pathlib import Path
import torch
import checkpoint
from portproof.system.errors import UserError
for contents in (argparse.Namespace(), torch.zeros(1).expand(10**6)):
    torch.save({"model": contents}, sys.argv[1])
    try:
        checkpoint.load(Path(sys.argv[1]))
    except UserError as error:
        print(error)
"""


def test_a_refused_file_is_named_in_words_of_ours(run_in_tree, tmp_path):
    program = f"import sys\nsys.argv[1:] = [{str(tmp_path / 'a.pth')!r}]\n{REFUSED}"
    held, made = run_in_tree("torch", program).stdout.splitlines()
    assert "cannot be loaded (it holds argparse.Namespace)" in held
    assert "weights_only" not in held and "makes far more in memory than it holds" in made
