"""Two processes train as one job: each image counted once, one writer, and no survivor."""

import os
import shutil
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common.data.batches import EpochBatches, PartBatches, Process
from common.paths import ROOT
from common.training import checkpoint_files
from tests.crash import arrays, metrics
from tests.support import helpers, preloaded
from tests.support.helpers import FRAMEWORKS, SUFFIX, TIMEOUT, assert_success, assert_user_error
from tests.support.trees import RUN_FILES, SMALL, TINY, copy_tree, run_train

OPTIONS = [*TINY, "--batch-size", 3, "--epochs", 3, "--save-every", 1]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """17 images to train with and 13 to evaluate with: neither two nor three can share them."""
    folder = helpers.make_folder(tmp_path_factory.mktemp("data") / "odd")
    (folder / "train" / "bars" / "0.jpg").unlink()
    shutil.copy(folder / "val" / "cross" / "0.jpg", folder / "val" / "bars" / "one more.jpg")
    return folder


class Job:
    """scripts/train.sh beside a tree with small layers; what is set up is this test's Python."""

    def __init__(self, framework, images, folder):
        self.framework, self.suffix = framework, SUFFIX[framework]
        self.folder, self.images = folder, images
        self.tree = copy_tree(framework, folder / f"AlexNet-{framework}", SMALL)
        self.output = folder / "output"
        (folder / "scripts").mkdir()
        for name in ("train.sh", "help.sh"):
            shutil.copy(ROOT / "scripts" / name, folder / "scripts")
        (folder / "scripts" / "setup.sh").write_text("")
        self.python = folder / ".venv" / "bin" / "python"
        self.python.parent.mkdir(parents=True)
        self.python.touch(0o700)
        (folder / "elsewhere").mkdir()

    def start(self, processes, *options, python=sys.executable):
        """Start a job; with a Python that has its framework imported if it is to be quick."""
        self.python.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        command = ["bash", self.folder / "scripts" / "train.sh", "--framework", self.framework]
        command += ["--processes", processes, "--data-path", self.images, *OPTIONS, *options]
        environment = {"PYTHONPATH": str(ROOT), "PYTHON_EXEC": str(python)}  # of torchrun
        place = {"cwd": self.folder / "elsewhere", "env": helpers.one_thread() | environment}
        with open(self.output, "w") as output:
            streams = {"stdout": output, "stderr": output}
            return helpers.start(*command, **streams, **place, start_new_session=True)

    def run(self, processes, *options):
        python = preloaded.interpreter(self.framework)
        status = self.start(processes, *options, python=python).wait(TIMEOUT)
        text = self.output.read_text()
        assert status == 0 and "Traceback" not in text, text
        return text

    def run_alone(self, *options):
        words = ["--data-path", self.images, *OPTIONS, *options]
        return assert_success(run_train(self.framework, *words, tree=self.tree)).stdout

    def lines_with(self, word):
        """Return the lines of the output that hold a word."""
        return [line for line in self.output.read_text().splitlines() if word in line]

    def start_to_a_checkpoint(self, run, *options):
        """Start two processes, and wait until they have written a checkpoint."""
        process = self.start(2, "--output-dir", run, *options)
        helpers.wait_until(lambda: any(run.glob("checkpoint-*")))
        return process


@pytest.fixture(scope="module", params=FRAMEWORKS)
def job(request, images, tmp_path_factory):
    return Job(request.param, images, tmp_path_factory.mktemp("job"))


def trainers(job):
    """Return the numbers of the processes that train, by rank: by their command lines."""
    numbers, name = {}, "RANK" if job.framework == "torch" else "PADDLE_TRAINER_ID"
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text().split("\0")
            variables = (process / "environ").read_text().split("\0")
            rank = dict(word.partition("=")[::2] for word in variables).get(name)
            if str(job.tree / "train.py") in words and rank is not None:
                numbers[int(rank)] = int(process.name)
    return numbers


def test_a_rank_that_is_killed_ends_the_job_which_resumes_the_same(job):
    whole, broken, suffix = job.folder / "whole", job.folder / "broken", job.suffix
    job.run(2, "--output-dir", whole, "--resume", "auto")
    left = {path.name.partition("-")[0] for path in whole.iterdir()}
    assert left == RUN_FILES | {"checkpoint", f"last{suffix}", f"best{suffix}"}

    process = job.start_to_a_checkpoint(broken, "--resume", "auto")
    os.kill(trainers(job)[1], signal.SIGKILL)
    assert process.wait(TIMEOUT) != 0
    message = job.lines_with("error: ")[-1]
    assert "of this job has ended" in message and "--resume auto" in message
    assert not trainers(job)
    assert checkpoint_files.newest(broken, suffix)

    text = job.run(2, "--output-dir", broken, "--resume", "auto")
    assert text.count("epoch 3/3:") == 1 and text.count("run folder:") == 1
    for name in (f"last{suffix}", f"best{suffix}"):
        assert arrays(broken / name) == arrays(whole / name)
    np.testing.assert_allclose(metrics(broken), metrics(whole), rtol=1e-6)


def test_a_signal_to_the_job_ends_it_when_the_step_is_saved(job):
    """The launchers pass it on to the processes of the loaders too, Paddle's as SIGTERM."""
    number = {"torch": signal.SIGTERM, "paddle": signal.SIGINT}[job.framework]
    run = job.folder / "stopped"
    process = job.start_to_a_checkpoint(run, "--workers", 1)
    process.send_signal(number)
    assert process.wait(TIMEOUT) == 128 + number, job.output.read_text()
    (message,) = set(job.lines_with("stopped by SIG"))
    assert message.endswith(f"resume by --resume {checkpoint_files.newest(run, job.suffix)}")
    assert not trainers(job) and not job.lines_with("Traceback")
    assert not list((job.folder / "elsewhere").iterdir())


def test_a_mistake_of_any_process_is_shown(job, tmp_path):
    """The image that cannot be read is the second process's."""
    images = shutil.copytree(job.images, tmp_path / "images")
    (images / "val" / "bars" / "1.jpg").write_text("no image")
    weights = job.folder / "whole" / f"last{job.suffix}"
    options = ["--eval-only", "--weights", weights, "--data-path", images]
    assert job.start(2, *options, python=preloaded.interpreter(job.framework)).wait(TIMEOUT) != 0
    text = job.output.read_text()
    assert "1.jpg: cannot be read as an image" in text and "Traceback" not in text.split("1.jpg")[0]


def test_each_image_is_counted_once(job):
    """The same weights measure the same, however many processes share the 13 images."""
    weights = job.folder / "whole" / f"last{job.suffix}"
    loss, top1, top5 = metrics(job.folder / "whole")[-1][4:]  # of two processes
    options = ["--eval-only", "--weights", weights, "--batch-size", 2]
    for text in (job.run_alone(*options), job.run(3, *options)):
        assert f"val_loss {loss:.6g}  val_top1 {top1:.6g}  val_top5 {top5:.6g}" in text


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 16])
def test_the_parts_of_an_evaluation_make_up_the_folder(world_size):
    parts = [PartBatches(13, 2, Process(rank, world_size)) for rank in range(world_size)]
    seen = [index for part in parts for batch in part for _, index in batch]
    assert sorted(seen) == list(range(13))
    assert all(len(list(part)) == len(part) for part in parts)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_parts_of_training_batches_weigh_what_they_hold(world_size, accumulate):
    """Together the processes see each image once, and a step's weights are those of its mean."""
    processes = [Process(rank, world_size) for rank in range(world_size)]
    ranks = [EpochBatches(17, 2, 3, True, process, accumulate) for process in processes]
    keys = [list(rank) for rank in ranks]
    assert len(set(map(len, keys))) == 1  # as many batches everywhere: none waits for ever
    seen, step, weights = [], [], []
    for number in range(len(ranks[0])):
        for rank, batches in zip(ranks, keys, strict=True):
            batch = rank.batch(number)
            assert [index for _, index in batches[number]][: batch.count] == rank.samples(number)
            seen += rank.samples(number)
            step.append(batch.count)
            weights.append(batch.weight / world_size)
        if batch.ends_step:
            np.testing.assert_allclose(weights, np.array(step) / sum(step))
            step, weights = [], []
    assert sorted(seen) == list(range(17)) and not step


def test_a_batch_that_is_split_is_that_of_one_process(job):
    """The same images, learning rate and weights as one process has, but for rounding."""
    options = ["--batch-size", 4, "--dropout", 0, "--split-batch", "--output-dir"]
    for processes, run in ((1, job.run_alone), (2, partial(job.run, 2))):
        text = run(*options, job.folder / f"split-{processes}")
        assert "lr: 0.007 for 1 GPUs in the recipe, 0.007 here" in text
    alone, shared = (metrics(job.folder / f"split-{processes}") for processes in (1, 2))
    np.testing.assert_allclose(alone, shared, rtol=1e-4)


def test_a_batch_that_cannot_be_split_is_refused(job):
    python = preloaded.interpreter(job.framework)
    assert job.start(2, "--batch-size", 5, "--split-batch", python=python).wait(TIMEOUT) != 0
    assert "a batch of 5 cannot be shared out evenly to 2 processes" in job.output.read_text()


def test_another_number_of_processes_cannot_resume(job):
    last = job.folder / "whole" / f"last{job.suffix}"
    done = run_train(job.framework, "--resume", last, tree=job.tree)
    assert_user_error(done, "made by 2 processes, and this run has 1")
