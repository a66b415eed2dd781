"""What a run says of itself while it runs, and how it ends when it cannot continue."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from common.training import checkpoint_files, timing
from common.training.nonfinite import NonFiniteGuard
from common.training.timing import LoaderTimer
from portproof.system import errors
from tests.crash import arrays
from tests.support.helpers import SUFFIX, assert_success, assert_user_error, call
from tests.support.trees import TINY, run_train_changed

BOARDS = {"torch": ("--tensorboard", "tensorboard"), "paddle": ("--visualdl", "visualdl")}
NO_BOARD = "sys.modules['tensorboard'] = sys.modules['visualdl'] = None"
ENDS = [
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 2, "smaller --batch-size"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "smaller --batch-size"),
    (MemoryError("std::bad_alloc"), 2, "smaller --batch-size"),
    (OSError(28, "No space left on device", "x.jsonl"), 2, "x.jsonl: cannot be written (No"),
    (OSError(30, "Read-only file system", "x.jsonl"), 2, "x.jsonl: cannot be written (Read"),
    (PermissionError(13, "Permission denied", "x.png"), 2, "look at the disk and its rights"),
    (errors.RunError("it\ncannot go on"), 1, "error: it cannot go on"),
]


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def train(framework, small_trees, small_folder, run):
    """A function that runs train.py after a change of Python text."""
    options = [*TINY, "--batch-size", 3, "--device", "cpu", "--data-path", small_folder]

    def call(*more, change=""):
        words = [*options, "--output-dir", run, *more]
        return run_train_changed(framework, change, *words, tree=small_trees[framework])

    return call


def test_a_board_has_the_curves(framework, train, run):
    option, package = BOARDS[framework]
    if not importlib.util.find_spec(package):
        pytest.skip(f"{package} is not installed: pip install --editable '.[boards]'")
    assert_success(train(option))
    (file,) = (run / "board").iterdir()
    contents = file.read_bytes()
    for name in (b"val_top1", b"train_loss", b"lr", b"data_seconds"):
        assert name in contents


def test_a_board_that_is_not_installed_is_told(framework, train):
    option, _ = BOARDS[framework]
    assert_user_error(train(option, change=NO_BOARD), option, "pip install", "[boards]")


def test_a_loss_that_is_not_finite_ends_the_run(framework, train, run):
    """With step, files and last checkpoint, exit status 1; what was saved before is finite."""
    done = train("--lr", 1000, "--save-every", 1, "--keep", 99)
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert "not" in line and "Traceback" not in done.stderr
    for word in ("epoch 1, batch ", "train/", ".jpg", "last checkpoint: ", "--lr", "--weights"):
        assert word in line
    assert (run / "not_finite.txt").read_text().count(".jpg") == 3
    saved = [path for _, path in checkpoint_files.listed(run, SUFFIX[framework])]
    assert all(str(path) in line for path in saved[:1])
    for path in saved:
        for values in arrays(path).values():
            assert np.isfinite(np.frombuffer(values, np.float32)).all()


def test_a_full_disk_leaves_the_checkpoint_before(framework, train, run, small_trees):
    """No file may grow past a limit that the second checkpoint would pass."""
    done = train("--save-every", 1, change=no_file_beyond(1 << 20))  # a checkpoint is larger
    assert_user_error(done, "the checkpoint of step 1 cannot be written", "--resume auto")
    assert "there is none before it" in done.stderr
    assert {path.name for path in run.iterdir()} == {"args.json"}

    assert_success(train("--save-every", 1, "--resume", "auto"))
    before = checkpoint_files.newest(run, SUFFIX[framework])
    # Resume from the checkpoint before the last, so that one more must be written.
    older = [path for _, path in checkpoint_files.listed(run, SUFFIX[framework])][1]
    change = no_file_beyond(before.stat().st_size // 2)
    done = run_train_changed(framework, change, "--resume", older, tree=small_trees[framework])
    assert_user_error(done, f"{older.name} is intact", "--resume auto")
    assert checkpoint_files.newest(run, SUFFIX[framework]) == older
    assert not list(run.glob(".*.partial*"))


def no_file_beyond(size):
    """Return a change after which no file of the process may grow beyond so many bytes."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


class Number(float):
    def detach(self):
        return self

    def sum(self):
        return self


def test_the_first_loss_that_is_not_finite_is_named(tmp_path):
    run = SimpleNamespace(path=tmp_path, writes=True)
    checkpoints = SimpleNamespace(run=run, last=lambda: "checkpoint-7")
    index = SimpleNamespace(paths=[f"{n}.jpg" for n in range(9)])
    sampler = SimpleNamespace(samples=lambda number: [number, number + 1])
    loader = SimpleNamespace(dataset=SimpleNamespace(index=index), batch_sampler=sampler)
    guard = NonFiniteGuard(loader, 2, checkpoints)
    for number, loss in ((3, 1.0), (4, float("inf")), (5, float("nan"))):
        guard.note(number, loss)
    message = r"loss is inf at epoch 3, batch 5, of 4\.jpg, 5\.jpg"
    with pytest.raises(errors.RunError, match=message):
        guard.check()
    guard.note(6, 1.0)
    guard.check([Number(1.0)])
    run.writes = False
    with pytest.raises(errors.RunError, match="weights are not after the step at epoch 3, batch 7"):
        guard.check([Number(1.0), Number("nan")])


def test_a_slow_loader_is_told_once_it_matters(capsys):
    waiting = LoaderTimer()
    waiting.for_data, waiting.for_compute = 29.0, 71.0
    waiting.warn(workers=1)
    waiting.for_data, waiting.for_compute = timing.SHORT * 0.9, 0.0
    waiting.warn(workers=1)
    assert capsys.readouterr().err == ""
    waiting.for_data, waiting.for_compute = 60.0, 40.0
    waiting.warn(workers=0)
    message = capsys.readouterr().err
    assert "60 % of the epoch waited for images" in message and "more --workers" in message
    waiting.warn(workers=1000)
    assert "smaller images" in capsys.readouterr().err


def test_time_is_split_between_the_loader_and_the_loop(monkeypatch):
    now = 0.0

    def load():
        nonlocal now
        for number in range(3):
            now += 2.0
            yield number

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    waiting = LoaderTimer()
    for _ in waiting.count(load()):
        now += 5.0
    assert (waiting.for_data, waiting.for_compute, waiting.total()) == (6.0, 15.0, 21.0)


@pytest.mark.parametrize(("error", "status", "words"), ENDS)
def test_how_a_run_ends_is_one_line(error, status, words):
    done = call(raise_error, error)
    assert done.returncode == status and done.stderr.count("\n") == 1 and words in done.stderr


def raise_error(error):
    raise error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(2, "No such file")])
def test_what_is_not_known_is_shown_whole(error):
    with pytest.raises(type(error)):
        call(raise_error, error)
