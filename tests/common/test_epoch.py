"""The running sums of training stand in common/training, once for both trees: against the truth."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.data.batches import ALONE, EpochBatches, Process
from common.training import Epoch
from common.training.observer import NOBODY
from common.training.progress import Progress
from portproof.system.errors import RunError

IMAGES = 23
RNG = np.random.default_rng(3)
LOSS, CORRECT = RNG.uniform(0.5, 3.0, IMAGES), RNG.integers(0, 2, IMAGES)  # of each image


class Run:
    """A run without a framework: what an epoch asks of it, and the checkpoints that it saves."""

    def __init__(self, accumulate=1, every=None, progress=None):
        self.args = SimpleNamespace(accumulate=accumulate, epochs=1, workers=0)
        self.progress = progress or Progress()
        self.observer = NOBODY
        self.trainer = SimpleNamespace(model=SimpleNamespace(parameters=list))
        self.every = every  # steps between two checkpoints
        self.checkpoints = self
        self.run = SimpleNamespace(writes=False)
        self.others = []  # the sums of the other processes
        self.saved = []

    def current_lr(self):
        return 0.25

    def all_reduce_sum(self, values):
        return list(np.sum([values, *self.others], axis=0))

    def is_due(self):
        return self.every is not None

    def save(self, progress):
        self.saved.append((progress.step, progress.loss_sum, progress.correct, progress.seen))


class Images:
    """A data set of files; their pixels play no part."""

    index = SimpleNamespace(paths=[f"{n}.png" for n in range(IMAGES)])

    def __len__(self):
        return IMAGES


def train(run, process=ALONE, batch_size=4, loss=LOSS):
    """Go through what is left of an epoch; return it, and its batches as `iterate` describes."""
    batches = EpochBatches(IMAGES, batch_size, 0, True, process, run.args.accumulate)
    epoch, described = Epoch(run, SimpleNamespace(dataset=Images(), batch_sampler=batches)), []
    batches.first = epoch.first_batch
    indices = [np.array([index for _, index in keys]) for keys in batches]
    for batch, images, _ in epoch.iterate((part, part) for part in indices):
        described.append(batch)
        epoch.update(loss[images].mean(), CORRECT[images].sum())
    return epoch, described


def assert_means(row):
    assert row["train_loss"] == pytest.approx(LOSS.mean(), rel=1e-12)
    assert row["train_top1"] == pytest.approx(100 * CORRECT.mean(), rel=1e-12)


def test_loss_and_accuracy_are_those_of_every_image_once():
    epoch, _ = train(Run())  # the last batch is smaller: a mean of means is another number
    assert_means(epoch.metrics())
    assert epoch.metrics()["lr"] == 0.25


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_epoch_that_resumes_ends_as_if_it_had_not_stopped(accumulate, stop_after):
    whole = Run(accumulate, every=1)
    expected = train(whole)[0].metrics()
    steps, *sums = whole.saved[stop_after - 1]
    assert steps == stop_after
    again = Run(accumulate, progress=Progress(step=steps, lr=0.5))
    again.progress.note(steps, *sums)
    epoch, described = train(again)
    assert described[0].number == stop_after * accumulate
    row = epoch.metrics()
    assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-12)
    assert row["train_top1"] == expected["train_top1"]
    assert row["lr"] == 0.5  # that of the epoch's first step, which this run did not take


def test_several_processes_have_the_sums_of_one():
    world_size = 5  # of the last batch, three images for five processes, two have a stand-in
    parts = [train(Run(), Process(rank, world_size))[0] for rank in range(world_size)]
    assert sum(part.seen for part in parts) == IMAGES
    run = Run()
    run.others = [[*part._sums(), part.seen] for part in parts[1:]]
    epoch, _ = train(run, Process(0, world_size))
    assert_means(epoch.metrics())


def test_a_loss_that_is_no_number_ends_the_run_with_its_batch_and_files():
    bad = LOSS.copy()
    order = EpochBatches(IMAGES, 4, 0, True).order()
    bad[order[9]] = np.nan
    with pytest.raises(RunError, match=rf"nan at epoch 1, batch 3, of {order[8]}.png"):
        train(Run(), loss=bad)[0].metrics()
