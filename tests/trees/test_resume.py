"""A run that ends before its time resumes as if it had not: exactly, from what is intact."""

import os
import shutil
import signal
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.training import checkpoint_files
from common.training.checkpointing import CheckpointManager
from common.training.progress import Progress
from portproof.system.errors import UserError
from tests.crash import Trainings, arrays, crash, metrics
from tests.support.helpers import FRAMEWORKS, SUFFIX, TIMEOUT, is_running


@pytest.fixture(scope="module", params=FRAMEWORKS)
def trainings(request, tmp_path_factory):
    return Trainings(request.param, tmp_path_factory.mktemp("crash"), epochs=3)


def end(trainings, run):
    """Resume a run to its end; return what it says."""
    output = trainings.place / "output"
    output.write_text("")
    assert trainings.start(run).wait(TIMEOUT) == 0, output.read_text()
    return output.read_text()


def test_killed_runs_end_with_the_same_bits(trainings):
    found = crash(trainings, kills=2, seed=1)
    assert found.equal and found.kills == 2


def test_a_signal_ends_it_when_the_step_is_saved(trainings):
    """One to the whole group, as terminals and batch systems send it: the loader's process too."""
    number = {"torch": signal.SIGTERM, "paddle": signal.SIGINT}[trainings.framework]
    run = trainings.place / "stopped"
    output = trainings.place / "output"
    output.write_text("")
    process = trainings.start(run)
    trainings.wait(process, lambda: any(run.glob("checkpoint-*")))
    os.killpg(process.pid, number)
    assert process.wait(TIMEOUT) == 128 + number, output.read_text()
    told = [line for line in output.read_text().splitlines() if line.startswith("stopped by")]
    assert len(told) == 1 and signal.Signals(number).name in told[0]
    suffix = SUFFIX[trainings.framework]
    newest = checkpoint_files.newest(run, suffix)
    assert told[0].endswith(f"resume by --resume {newest}") and not list(run.glob(".*.partial*"))
    assert f"resume: {newest}" in end(trainings, run)
    assert trainings.differences(run) == []


def test_the_workers_of_a_killed_run_end(trainings):
    """A loader's processes would hold gigabytes for ever, and so would batches in shared memory."""
    run = trainings.place / "killed"
    process = trainings.start(run)
    trainings.wait(process, lambda: any(run.glob("checkpoint-*")))
    workers = children(process.pid)
    process.kill()
    process.wait(TIMEOUT)
    limit = time.monotonic() + TIMEOUT
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < limit, workers
        time.sleep(0.1)
    assert workers
    assert not [one for one in workers if any(Path("/dev/shm").glob(f"paddle_{one}_*"))]


def children(number):
    tasks = Path(f"/proc/{number}/task").iterdir()
    return {int(word) for task in tasks for word in (task / "children").read_text().split()}


def test_a_damaged_checkpoint_is_passed_over(trainings):
    """The newest one is cut, the one before it is whole; what comes after it is written anew."""
    run = shutil.copytree(trainings.whole, trainings.place / "damaged")
    suffix = SUFFIX[trainings.framework]
    (_, newest), (_, before) = checkpoint_files.listed(run, suffix)
    with open(newest, "r+b") as file:
        file.truncate(newest.stat().st_size // 2)
    text = end(trainings, run)
    assert f"warning: {newest} is damaged" in text and f"resume: {before}" in text
    assert trainings.differences(run) == []


def test_all_damaged_is_a_new_run(trainings):
    run = trainings.place / "all-damaged"
    run.mkdir()
    (run / f"checkpoint-00000900-00000000{SUFFIX[trainings.framework]}").write_bytes(b"nothing")
    text = end(trainings, run)
    assert "is damaged" in text and "there is no checkpoint to resume from; a new run" in text
    assert trainings.differences(run) == []


def test_best_and_last_can_be_gone_on_from(trainings):
    """Where `best` is older than other checkpoints, these are no longer the newest."""
    suffix = SUFFIX[trainings.framework]
    run = shutil.copytree(trainings.whole, trainings.place / "from-best")
    command = trainings.start(run, resume=run / f"best{suffix}")
    assert command.wait(TIMEOUT) == 0, (trainings.place / "output").read_text()
    assert metrics(run) == metrics(trainings.whole)
    last = f"last{suffix}"
    assert arrays(run / last) == arrays(trainings.whole / last)


# The rest needs no framework.


def write_text(text):
    return lambda path: path.write_text(text)


def test_the_newest_few_are_kept_and_a_step_is_kept_once(tmp_path):
    for step in (1, 2, 3, 3):
        checkpoint_files.write(
            tmp_path, step, ".pth", write_text(f"{step}"), keep=2, best=step == 2
        )
    assert [step for step, _ in checkpoint_files.listed(tmp_path, ".pth")] == [3, 2]
    assert (tmp_path / "last.pth").read_text() == "3" and (tmp_path / "best.pth").read_text() == "2"
    checkpoint_files.write(tmp_path, 3, ".pth", write_text("3 again"), keep=2, best=False)
    assert [path.read_text() for _, path in checkpoint_files.listed(tmp_path, ".pth")] == [
        "3 again",
        "2",
    ]


@pytest.mark.parametrize("name", ["last.pth", "best.pth", "checkpoint-"])
def test_a_kill_between_two_names_loses_none_of_them(tmp_path, monkeypatch, name):
    """Whatever name is not yet there, the run resumes from before and writes all of them."""

    class Killed(BaseException):
        pass

    replace = checkpoint_files.os.replace

    def killed(source, target):
        if Path(target).name.startswith(name):
            raise Killed
        replace(source, target)

    checkpoint_files.write(tmp_path, 1, ".pth", write_text("1"), keep=2, best=True)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(Killed):
            checkpoint_files.write(tmp_path, 2, ".pth", write_text("2"), keep=2, best=True)
    newest = checkpoint_files.newest(tmp_path, ".pth")
    assert newest.read_text() == "1"
    checkpoint_files.write(tmp_path, 2, ".pth", write_text("2"), keep=2, best=True)
    for file in ("last.pth", "best.pth"):
        assert (tmp_path / file).read_text() == "2"
    assert not list(tmp_path.glob(".*"))


def raise_error(error):
    def save(path):
        path.write_text("half of it")
        raise error

    return save


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), r"No space left.*free some space"),
        (PermissionError(13, "Permission denied"), r"Permission denied.*its rights"),
        (RuntimeError("unexpected pos 64"), r"unexpected pos 64"),
    ],
)
def test_what_cannot_be_written_leaves_the_one_before(tmp_path, error, words):
    before = checkpoint_files.write(tmp_path, 1, ".pth", write_text("1"), keep=1, best=False)
    with pytest.raises(UserError, match=words) as caught:
        checkpoint_files.write(tmp_path, 2, ".pth", raise_error(error), keep=1, best=False)
    assert f"{before.name} is intact" in str(caught.value) and "step 2" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {before.name, "last.pth"}
    assert checkpoint_files.is_intact(before)


def test_a_full_disk_is_told_whatever_the_writer_says(tmp_path, monkeypatch):
    """As torch's does, in C++: unexpected pos 64 vs 48."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    with pytest.raises(UserError, match=r"\(No space left on device\).*free some space"):
        save = raise_error(RuntimeError("unexpected pos 64 vs 48"))
        checkpoint_files.write(tmp_path, 2, ".pth", save, keep=1, best=False)


def test_a_disk_that_becomes_read_only_is_told(tmp_path, monkeypatch):
    """Nothing can be removed from it either."""
    before = checkpoint_files.write(tmp_path, 1, ".pth", write_text("1"), keep=1, best=False)

    def unlink(path, missing_ok=False):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(UserError, match="Read-only file system") as caught:
        save = raise_error(OSError(30, "Read-only file system"))
        checkpoint_files.write(tmp_path, 2, ".pth", save, keep=1, best=False)
    assert f"{before.name} is intact" in str(caught.value) and "its rights" in str(caught.value)


def checkpoints(path, save_every, stop=0, keep=2, alone=True):
    """A checkpoints of a run of ten steps an epoch that writes its step; the first of its job."""
    args = Namespace(save_every=save_every, framework="torch", keep=keep)
    run = SimpleNamespace(args=args, path=path, writes=True)
    stops = SimpleNamespace(signal=stop, leave=lambda number, told: left.append((number, told)))
    left = []

    def write(partial, progress):
        partial.write_text(str(progress.step))

    def agree(values):
        asked.append(values)
        return [max(value, other) for value, other in zip(values, others, strict=False)]

    others = [0, 0, 0]  # what the other processes want
    asked = []
    made = CheckpointManager(run, stops, 10, write, None if alone else agree)
    made.asked, made.others = asked, others
    return made, stops, left


def test_saved_every_so_many_steps(tmp_path):
    made, _, left = checkpoints(tmp_path, "3", keep=9)
    for step in range(1, 10):
        if made.is_due():
            made.save(Progress(step=step))
    assert [step for step, _ in checkpoint_files.listed(tmp_path, ".pth")] == [9, 6, 3] and not left


def test_saved_every_so_many_minutes(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    made, _, _ = checkpoints(tmp_path, "2m")
    due = []
    for step in range(1, 8):
        now = 50.0 * step
        due.append(made.is_due())
        if due[-1]:
            made.save(Progress(step=step))
    assert due == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(("save_every", "due"), [("70", [69, 139]), ("1m", [60])])
def test_several_processes_ask_each_other_about_once_a_second(
    tmp_path, monkeypatch, save_every, due
):
    """A hundred steps a second would else wait for each other, and for the device, at each."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    made, _, _ = checkpoints(tmp_path, save_every, alone=False)
    found = []
    for step in range(6300):
        now += 0.01
        if made.is_due():
            made.save(Progress(step=step + 1))
            found.append(step if save_every == "70" else now // 1)
    assert found[: len(due)] == due and len(found) == (90 if save_every == "70" else 1)
    assert 60 < len(made.asked) < 200
    made.others[0] = signal.SIGTERM  # another process is told to stop
    steps = next(step for step in range(200) if made.is_due())
    assert steps <= 100 and made.stopped_by == signal.SIGTERM


def test_a_process_that_is_alone_looks_at_every_step(tmp_path):
    made, stops, _ = checkpoints(tmp_path, "1000")
    assert not any(made.is_due() for _ in range(20))
    stops.signal = signal.SIGINT
    assert made.is_due()


def test_a_signal_in_the_evaluation_ends_the_run_after_it(tmp_path):
    made, stops, left = checkpoints(tmp_path, "100")
    assert not made.is_due()
    stops.signal = signal.SIGTERM
    made.save(Progress(epoch=1))
    ((number, told),) = left
    assert number == signal.SIGTERM and "step 10 is over and saved" in told


def test_a_run_from_an_older_checkpoint_drops_the_later_ones(tmp_path):
    for step in (10, 20, 30):
        checkpoint_files.write(tmp_path, step, ".pth", write_text("x"), keep=9, best=False)
    (tmp_path / ".checkpoint.partial.pth").write_text("half")
    checkpoint_files.begin(tmp_path, ".pth", 20)
    assert [step for step, _ in checkpoint_files.listed(tmp_path, ".pth")] == [20, 10]
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
