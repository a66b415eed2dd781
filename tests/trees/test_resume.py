"""A run that ends before its time resumes as if it had not: exactly, from what is intact."""

import os
import shutil
import signal
import time
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.training import checkpoint_files
from common.training.checkpointing import CheckpointManager
from common.training.progress import Progress
from portproof.system.errors import UserError
from tests.crash import Trainings, arrays, crash, half_written, metrics
from tests.support import preloaded
from tests.support.helpers import FRAMEWORKS, TIMEOUT, is_running, wait_until


@pytest.fixture(scope="module", params=FRAMEWORKS)
def trainings(request, tmp_path_factory):
    python = preloaded.interpreter(request.param)
    return Trainings(request.param, tmp_path_factory.mktemp("crash"), 3, python)


def end(trainings, run, resume="auto"):
    """Resume a run to its end; return what it says."""
    status = trainings.start(run, resume, preloaded.interpreter(trainings.framework)).wait(TIMEOUT)
    text = trainings.output.read_text()
    assert status == 0, text
    return text


def test_killed_runs_end_with_the_same_bits(trainings):
    outcome = crash(trainings, kills=2, seed=1)
    assert outcome.equal and outcome.kills == 2


def test_a_signal_ends_it_when_the_step_is_saved(trainings):
    """One to the whole group, as terminals and batch systems send it: the loader's process too."""
    number = {"torch": signal.SIGTERM, "paddle": signal.SIGINT}[trainings.framework]
    run = trainings.folder / "stopped"
    process = trainings.start(run)
    trainings.wait(process, lambda: any(run.glob("checkpoint-*")))
    os.killpg(process.pid, number)
    status, text = process.wait(TIMEOUT), trainings.output.read_text()
    assert status == 128 + number, text
    (line,) = [line for line in text.splitlines() if line.startswith("stopped by")]
    newest = checkpoint_files.newest(run, trainings.suffix)
    assert signal.Signals(number).name in line and line.endswith(f"resume by --resume {newest}")
    assert not half_written(run)
    assert f"resume: {newest}" in end(trainings, run)
    assert trainings.differences(run) == []


def test_the_workers_of_a_killed_run_end(trainings):
    """A loader's processes would hold gigabytes for ever, and so would batches in shared memory."""
    run = trainings.folder / "killed"
    process = trainings.start(run)
    trainings.wait(process, lambda: any(run.glob("checkpoint-*")))
    children = Path("/proc").glob(f"{process.pid}/task/*/children")
    workers = {int(word) for path in children for word in path.read_text().split()}
    process.kill()
    process.wait(TIMEOUT)
    assert workers
    wait_until(lambda: not any(map(is_running, workers)))
    assert not [pid for pid in workers if any(Path("/dev/shm").glob(f"paddle_{pid}_*"))]


def test_a_damaged_checkpoint_is_passed_over(trainings):
    """The newest one is cut, the one before it is whole; what comes after it is written anew."""
    run = shutil.copytree(trainings.whole, trainings.folder / "damaged")
    (_, newest), (_, before) = checkpoint_files.listed(run, trainings.suffix)
    with open(newest, "r+b") as file:
        file.truncate(newest.stat().st_size // 2)
    text = end(trainings, run)
    assert f"warning: {newest} is damaged" in text and f"resume: {before}" in text
    assert trainings.differences(run) == []


def test_all_damaged_is_a_new_run(trainings):
    run = trainings.folder / "all-damaged"
    run.mkdir()
    (run / f"checkpoint-00000900-00000000{trainings.suffix}").write_bytes(b"nothing")
    text = end(trainings, run)
    assert "is damaged" in text and "there is no checkpoint to resume from; a new run" in text
    assert trainings.differences(run) == []


def test_best_and_last_can_be_resumed_from(trainings):
    """Where `best` is older than other checkpoints, these are no longer the newest."""
    run = shutil.copytree(trainings.whole, trainings.folder / "from-best")
    end(trainings, run, resume=run / f"best{trainings.suffix}")
    assert metrics(run) == metrics(trainings.whole)
    last = f"last{trainings.suffix}"
    assert arrays(run / last) == arrays(trainings.whole / last)


def write(folder, step, content=None, keep=2, best=False):
    """Write a checkpoint of a step: its number, another text, or what an error leaves of it."""

    def save(path):
        path.write_text(f"{content or step}")
        if isinstance(content, Exception):
            raise content

    return checkpoint_files.write(folder, step, ".pth", save, keep=keep, best=best)


def kept(folder):
    """Return the steps whose checkpoints are there, the newest first."""
    return [step for step, _ in checkpoint_files.listed(folder, ".pth")]


def test_the_newest_few_are_kept_and_a_step_is_kept_once(tmp_path):
    for step in (1, 2, 3, 3):
        write(tmp_path, step, best=step == 2)
    assert kept(tmp_path) == [3, 2]
    assert (tmp_path / "last.pth").read_text() == "3" and (tmp_path / "best.pth").read_text() == "2"
    write(tmp_path, 3, "3 again")
    texts = [path.read_text() for _, path in checkpoint_files.listed(tmp_path, ".pth")]
    assert texts == ["3 again", "2"]


@pytest.mark.parametrize("name", ["last.pth", "best.pth", "checkpoint-"])
def test_a_kill_between_two_names_loses_none_of_them(tmp_path, monkeypatch, name):
    """Whatever name is not yet there, the run resumes from before and writes all of them."""

    replace = os.replace

    def killed(source, target):
        if Path(target).name.startswith(name):
            raise SystemExit
        replace(source, target)

    write(tmp_path, 1, best=True)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(SystemExit):
            write(tmp_path, 2, best=True)
    assert checkpoint_files.newest(tmp_path, ".pth").read_text() == "1"
    write(tmp_path, 2, best=True)
    for file in ("last.pth", "best.pth"):
        assert (tmp_path / file).read_text() == "2"
    assert not list(tmp_path.glob(".*"))


ERRORS = [(OSError(28, "No space left on device"), r"No space left.*free some space")]
ERRORS += [(PermissionError(13, "Permission denied"), r"Permission denied.*its rights")]
ERRORS += [(RuntimeError("unexpected pos 64"), r"unexpected pos 64")]


@pytest.mark.parametrize(("error", "words"), ERRORS)
def test_what_cannot_be_written_leaves_the_one_before(tmp_path, error, words):
    before = write(tmp_path, 1, keep=1)
    with pytest.raises(UserError, match=words) as caught:
        write(tmp_path, 2, error, keep=1)
    assert f"{before.name} is intact" in str(caught.value) and "step 2" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {before.name, "last.pth"}
    assert checkpoint_files.is_intact(before)


def test_a_full_disk_is_named_whatever_the_writer_says(tmp_path, monkeypatch):
    """As torch's does, in C++: unexpected pos 64 vs 48."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    with pytest.raises(UserError, match=r"\(No space left on device\).*free some space"):
        write(tmp_path, 2, RuntimeError("unexpected pos 64 vs 48"))


def test_a_disk_that_becomes_read_only_is_named(tmp_path, monkeypatch):
    """Nothing can be removed from it either."""
    before = write(tmp_path, 1)

    def unlink(path, missing_ok=False):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(UserError, match="Read-only file system") as caught:
        write(tmp_path, 2, OSError(30, "Read-only file system"))
    assert f"{before.name} is intact" in str(caught.value) and "its rights" in str(caught.value)


class Checkpoints(CheckpointManager):
    """Those of a run of ten steps an epoch that writes its step; the first process of its job."""

    def __init__(self, folder, save_every, alone=True):
        self.signal = 0  # that this process was sent
        self.left = []  # (signal, message) with which the run ended
        self.questions, self.others = [], [0, 0, 0]  # what the other processes want
        args = Namespace(save_every=save_every, framework="torch", keep=9)
        run = SimpleNamespace(args=args, path=folder, writes=True, check_is_there=lambda: None)
        self.saving = nullcontext()
        super().__init__(run, self, 10, self.write_step, None if alone else self.ask)

    def leave(self, number, message):
        self.left.append((number, message))

    def write_step(self, partial, progress):
        partial.write_text(str(progress.step))

    def ask(self, wishes):
        self.questions.append(wishes)
        return [max(pair) for pair in zip(wishes, self.others, strict=False)]

    def take(self, step):
        """Save a step if a checkpoint is due, and say whether it was."""
        is_due = self.is_due()
        if is_due:
            self.save(Progress(step=step))
        return is_due


def test_saved_every_so_many_steps(tmp_path):
    checkpoints = Checkpoints(tmp_path, "3")
    for step in range(1, 10):
        checkpoints.take(step)
    assert kept(tmp_path) == [9, 6, 3] and not checkpoints.left


def test_saved_every_so_many_minutes(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoints, due = Checkpoints(tmp_path, "2m"), []
    for step in range(1, 8):
        now = 50.0 * step
        due.append(checkpoints.take(step))
    assert due == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(("save_every", "due"), [("70", [69, 139]), ("1m", [60])])
def test_several_processes_ask_each_other_about_once_a_second(
    tmp_path, monkeypatch, save_every, due
):
    """A hundred steps a second would else wait for each other, and for the device, at each."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoints, saved = Checkpoints(tmp_path, save_every, alone=False), []
    for step in range(6300):
        now += 0.01
        if checkpoints.take(step + 1):
            saved.append(step if save_every == "70" else now // 1)
    assert saved[: len(due)] == due and len(saved) == (90 if save_every == "70" else 1)
    assert 60 < len(checkpoints.questions) < 200
    checkpoints.others[0] = signal.SIGTERM  # another process is told to stop
    steps = next(step for step in range(200) if checkpoints.is_due())
    assert steps <= 100 and checkpoints.stopped_by == signal.SIGTERM


def test_a_process_that_is_alone_looks_at_every_step(tmp_path):
    checkpoints = Checkpoints(tmp_path, "1000")
    assert not any(checkpoints.is_due() for _ in range(20))
    checkpoints.signal = signal.SIGINT
    assert checkpoints.is_due()


def test_a_signal_in_the_evaluation_ends_the_run_after_it(tmp_path):
    checkpoints = Checkpoints(tmp_path, "100")
    assert not checkpoints.is_due()
    checkpoints.signal = signal.SIGTERM
    checkpoints.save(Progress(epoch=1))
    ((number, message),) = checkpoints.left
    assert number == signal.SIGTERM and "step 10 is over and saved" in message


def test_a_run_from_an_older_checkpoint_drops_the_later_ones(tmp_path):
    for step in (10, 20, 30):
        write(tmp_path, step, keep=9)
    (tmp_path / ".checkpoint.partial.pth").write_text("half")
    checkpoint_files.begin(tmp_path, ".pth", 20)
    assert kept(tmp_path) == [20, 10]
    assert not list(tmp_path.glob(".*"))


def test_an_epoch_that_was_broken_off_has_the_time_of_all_its_sessions(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    progress = Progress()
    now += 5  # until the loaders and the network are there
    progress.start_clock()
    now += 40
    progress.note(7, 1.0, 1, 1)
    saved = progress.as_dict() | {"world_size": 1}
    now += 3600  # of a break
    progress = Progress.of(saved, Path("a.pth"), rank=0, world_size=1)
    progress.start_clock()
    now += 20
    assert progress.taken() == 60
    progress.end_epoch(50.0)
    assert progress.as_dict()["seconds"] == 0
    progress.start_clock()
    now += 1
    assert progress.taken() == 1
