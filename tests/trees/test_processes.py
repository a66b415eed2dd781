"""Two processes train as one job: each image counted once, one writer, and no survivor."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from common.data.batches import EpochBatches, PartBatches, Process
from common.paths import ROOT
from common.training import checkpoint_files
from tests.crash import arrays, metrics
from tests.support.helpers import FRAMEWORKS, SUFFIX, TIMEOUT, make_folder, one_thread, run_train
from tests.support.trees import SMALL, copy_tree

OPTIONS = [
    "--recipe", "sample", "--image-size", 63, "--epochs", 3, "--warmup-epochs", 0,
    "--workers", 0, "--save-every", 1,
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """17 images to train with and 13 to evaluate with: neither two nor three can share them."""
    folder = make_folder(tmp_path_factory.mktemp("data") / "odd")
    (folder / "train" / "bars" / "0.jpg").unlink()
    (folder / "val" / "bars" / "one more.jpg").write_bytes(
        (folder / "val" / "cross" / "0.jpg").read_bytes()
    )
    return folder


@pytest.fixture(scope="module", params=FRAMEWORKS)
def job(request, images, tmp_path_factory):
    return Job(request.param, images, tmp_path_factory.mktemp("job"))


class Job:
    """scripts/train.sh beside a tree with small layers; what is set up is this test's Python."""

    def __init__(self, framework, images, place):
        self.framework = framework
        self.place = place
        self.images = images
        self.tree = copy_tree(framework, place / f"AlexNet-{framework}", SMALL)
        self.output = place / "output"
        (place / "scripts").mkdir()
        for name in ("train.sh", "help.sh"):
            shutil.copy(ROOT / "scripts" / name, place / "scripts")
        (place / "scripts" / "setup.sh").write_text("")
        (place / ".venv").symlink_to(sys.prefix)
        (place / "elsewhere").mkdir()

    def start(self, processes, *options):
        command = ["bash", self.place / "scripts" / "train.sh", "--framework", self.framework]
        command += ["--processes", processes, "--data-path", self.images, *OPTIONS, *options]
        with open(self.output, "w") as output:
            return subprocess.Popen(
                [str(word) for word in command],
                stdout=output,
                stderr=output,
                env=one_thread() | {"PYTHONPATH": str(ROOT)},
                cwd=self.place / "elsewhere",
                start_new_session=True,
            )

    def run(self, processes, *options):
        process = self.start(processes, *options)
        process.wait(TIMEOUT)
        text = self.output.read_text()
        assert process.returncode == 0 and "Traceback" not in text, text
        return text

    def run_alone(self, *options):
        given = ["--data-path", self.images, *OPTIONS, *options]
        done = run_train(self.framework, *given, tree=self.tree)
        assert done.returncode == 0, done.stderr
        return done.stdout


def trainers(job):
    """Return the numbers of the processes that train, by their command lines."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as file:
                words = file.read().split("\0")
            with open(f"/proc/{name}/environ") as file:
                variables = dict(one.partition("=")[::2] for one in file.read().split("\0"))
        except OSError:
            continue
        rank = variables.get("RANK" if job.framework == "torch" else "PADDLE_TRAINER_ID")
        if str(job.tree / "train.py") in words and rank is not None:
            found[int(rank)] = int(name)
    return found


def wait_for(seen, what):
    limit = time.monotonic() + TIMEOUT
    while not seen():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def test_a_rank_that_is_killed_ends_the_job_which_goes_on_the_same(job):
    whole, broken = job.place / "whole", job.place / "broken"
    suffix = SUFFIX[job.framework]
    options = ["--batch-size", 3, "--resume", "auto", "--output-dir"]
    job.run(2, *options, whole)
    assert {path.name.partition("-")[0] for path in whole.iterdir()} == {
        "args.json", "metrics.jsonl", "curves.png", "misclassified.html", "model_card.md",
        f"last{suffix}", f"best{suffix}", "checkpoint",
    }  # fmt: skip

    process = job.start(2, *options, broken)
    wait_for(lambda: any(broken.glob("checkpoint-*")), "no checkpoint is written")
    os.kill(trainers(job)[1], signal.SIGKILL)
    status = process.wait(TIMEOUT)
    assert status not in (0, None)
    told = [line for line in job.output.read_text().splitlines() if "error: " in line]
    assert "of this job has ended" in told[-1] and "--resume auto" in told[-1]
    assert not trainers(job)
    assert checkpoint_files.newest(broken, suffix)

    text = job.run(2, *options, broken)
    assert text.count("epoch 3/3:") == 1 and text.count("run folder:") == 1
    for name in (f"last{suffix}", f"best{suffix}"):
        assert arrays(broken / name) == arrays(whole / name)
    np.testing.assert_allclose(metrics(broken), metrics(whole), rtol=1e-6)


def test_a_signal_to_the_job_ends_it_when_the_step_is_saved(job):
    """The launchers pass it on to the processes of the loaders too, Paddle's as SIGTERM."""
    number = {"torch": signal.SIGTERM, "paddle": signal.SIGINT}[job.framework]
    run = job.place / "stopped"
    process = job.start(2, "--batch-size", 3, "--output-dir", run, "--workers", 1)
    wait_for(lambda: any(run.glob("checkpoint-*")), "no checkpoint is written")
    process.send_signal(number)
    assert process.wait(TIMEOUT) == 128 + number, job.output.read_text()
    told = [line for line in job.output.read_text().splitlines() if "stopped by SIG" in line]
    newest = checkpoint_files.newest(run, SUFFIX[job.framework])
    assert told and set(told) == {told[0]} and told[0].endswith(f"resume by --resume {newest}")
    assert not trainers(job) and "Traceback" not in job.output.read_text()
    assert not list((job.place / "elsewhere").iterdir())


def test_a_mistake_of_any_process_is_told(job, tmp_path):
    """The image that cannot be read is the second process's."""
    data = shutil.copytree(job.images, tmp_path / "data")
    (data / "val" / "bars" / "1.jpg").write_text("no image")
    weights = job.place / "whole" / f"last{SUFFIX[job.framework]}"
    process = job.start(2, "--eval-only", "--weights", weights, "--data-path", data)
    assert process.wait(TIMEOUT) != 0
    text = job.output.read_text()
    assert "1.jpg: cannot be read as an image" in text and "Traceback" not in text.split("1.jpg")[0]


def test_each_image_is_counted_once(job):
    """The same weights measure the same, however many processes share the 13 images."""
    weights = job.place / "whole" / f"last{SUFFIX[job.framework]}"
    row = metrics(job.place / "whole")[-1]  # of two processes
    options = ["--eval-only", "--weights", weights, "--batch-size", 2]
    found = []
    for text in (job.run_alone(*options), job.run(3, *options)):
        line = next(line for line in text.splitlines() if "val_loss" in line)
        found.append(line[line.index("val_loss") :])
    assert found[0] == found[1]
    assert f"val_loss {row[4]:.6g}  val_top1 {row[5]:.6g}" in found[0]


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
    ranks = [
        EpochBatches(17, 2, 3, True, Process(rank, world_size), accumulate)
        for rank in range(world_size)
    ]
    keys = [list(rank) for rank in ranks]
    assert len({len(one) for one in keys}) == 1  # as many batches everywhere: none waits for ever
    seen, step, weights = [], [], []
    for number in range(len(ranks[0])):
        for rank, batches in zip(ranks, keys, strict=True):
            count, weight, is_last = rank.share(number)
            own = [index for _, index in batches[number]][:count]
            assert own == rank.samples(number)
            seen += own
            step.append(count)
            weights.append(weight / world_size)
        if is_last:
            np.testing.assert_allclose(weights, np.array(step) / sum(step))
            step, weights = [], []
    assert sorted(seen) == list(range(17)) and not step


def test_a_batch_that_is_split_is_that_of_one_process(job):
    """The same images, learning rate and weights as one process has, but for rounding."""
    options = ["--batch-size", 4, "--dropout", 0, "--split-batch", "--output-dir"]
    for processes, run in ((1, job.run_alone), (2, partial(job.run, 2))):
        text = run(*options, job.place / f"split-{processes}")
        assert "lr: 0.007 for 1 GPUs in the recipe, 0.007 here" in text
    one, two = (metrics(job.place / f"split-{processes}") for processes in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-4)


def test_a_batch_that_cannot_be_split_is_told(job):
    process = job.start(2, "--batch-size", 5, "--split-batch")
    assert process.wait(TIMEOUT) != 0
    assert "a batch of 5 cannot be shared out evenly to 2 processes" in job.output.read_text()


def test_another_number_of_processes_cannot_go_on(job):
    last = job.place / "whole" / f"last{SUFFIX[job.framework]}"
    done = run_train(job.framework, "--resume", last, tree=job.tree)
    assert done.returncode == 2 and "made by 2 processes, and this run has 1" in done.stderr
