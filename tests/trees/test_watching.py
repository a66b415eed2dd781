"""What a run says of itself while it runs, and how it ends when it cannot continue."""

import importlib.util
import resource
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from common.training import checkpoint_files, timing
from common.training.nonfinite import NonFiniteGuard
from common.training.timing import LoaderTimer
from portproof.system import errors
from tests.crash import arrays
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_user_error, one_thread, run_train
from tests.support.trees import SMALL, copy_tree

OPTIONS = [
    "--recipe", "sample", "--image-size", 63, "--epochs", 1, "--warmup-epochs", 0, "--workers", 0,
    "--batch-size", 3, "--device", "cpu",
]  # fmt: skip
BOARDS = {"torch": ("--tensorboard", "tensorboard"), "paddle": ("--visualdl", "visualdl")}
NO_BOARD = "import sys\nsys.modules['tensorboard'] = sys.modules['visualdl'] = None\n"


@pytest.fixture(scope="module", params=FRAMEWORKS)
def tree(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("watching")
    return request.param, copy_tree(request.param, place / f"AlexNet-{request.param}", SMALL)


def test_a_board_has_the_curves(tree, small_folder, tmp_path):
    framework, copy = tree
    option, package = BOARDS[framework]
    if not importlib.util.find_spec(package):
        pytest.skip(f"{package} is not installed: pip install --editable '.[boards]'")
    run = tmp_path / "run"
    given = [*OPTIONS, "--data-path", small_folder, "--output-dir", run, option]
    done = run_train(framework, *given, tree=copy)
    assert done.returncode == 0, done.stderr
    (file,) = (run / "board").iterdir()
    contents = file.read_bytes()
    for name in (b"val_top1", b"train_loss", b"lr", b"data_seconds"):
        assert name in contents


def test_a_board_that_is_not_installed_is_told(tree, small_folder, tmp_path):
    framework, copy = tree
    file = copy / "boards.py"
    text = file.read_text()
    file.write_text(NO_BOARD + text)
    try:
        given = [*OPTIONS, "--data-path", small_folder, "--output-dir", tmp_path / "run"]
        done = run_train(framework, *given, BOARDS[framework][0], tree=copy)
    finally:
        file.write_text(text)
    assert_user_error(done, BOARDS[framework][0], "pip install", "[boards]")


def test_a_loss_that_is_not_finite_ends_the_run(tree, small_folder, tmp_path):
    """With step, files and last checkpoint, exit status 1; what was saved before is finite."""
    framework, copy = tree
    run = tmp_path / "run"
    given = [*OPTIONS, "--data-path", small_folder, "--output-dir", run]
    done = run_train(framework, *given, "--lr", 1000, "--save-every", 1, "--keep", 99, tree=copy)
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


def test_a_full_disk_leaves_the_checkpoint_before(tree, small_folder, tmp_path):
    """No file may grow past a limit that the second checkpoint would pass."""
    framework, copy = tree
    run = tmp_path / "run"
    given = [*OPTIONS, "--data-path", small_folder, "--output-dir", run, "--save-every", 1]
    command = [str(word) for word in [sys.executable, copy / "train.py", *given]]
    limit = 1 << 20  # bytes: below a checkpoint's

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limited, env=one_thread()
    )
    assert_user_error(done, "the checkpoint of step 1 cannot be written", "--resume auto")
    assert "there is none before it" in done.stderr
    assert {path.name for path in run.iterdir()} == {"args.json"}

    done = run_train(framework, *given, "--resume", "auto", tree=copy)
    assert done.returncode == 0, done.stderr
    before = checkpoint_files.newest(run, SUFFIX[framework])
    limit = before.stat().st_size // 2
    # Resume from the checkpoint before the last, so that one more must be written.
    older = [path for _, path in checkpoint_files.listed(run, SUFFIX[framework])][1]
    command = [str(word) for word in [sys.executable, copy / "train.py", "--resume", older]]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limited, env=one_thread()
    )
    assert_user_error(done, f"{older.name} is intact", "--resume auto")
    assert checkpoint_files.newest(run, SUFFIX[framework]) == older
    assert not list(run.glob(".*.partial*"))


# The rest needs no framework.


def fake_loader(paths):
    return SimpleNamespace(
        dataset=SimpleNamespace(index=SimpleNamespace(paths=paths)),
        batch_sampler=SimpleNamespace(samples=lambda number: [number, number + 1]),
    )


class Number(float):
    def detach(self):
        return self

    def sum(self):
        return self


def test_the_first_loss_that_is_not_finite_is_named(tmp_path):
    run = SimpleNamespace(path=tmp_path, writes=True)
    checkpoints = SimpleNamespace(run=run, last=lambda: "checkpoint-7")
    recent = NonFiniteGuard(fake_loader([f"{n}.jpg" for n in range(9)]), 2, checkpoints)
    for number, loss in ((3, 1.0), (4, float("inf")), (5, float("nan"))):
        recent.note(number, loss)
    with pytest.raises(
        errors.RunError, match=r"loss is inf at epoch 3, batch 5, of 4\.jpg, 5\.jpg"
    ):
        recent.check()
    recent.note(6, 1.0)
    recent.check([Number(1.0)])
    run.writes = False
    with pytest.raises(errors.RunError, match="weights are not after the step at epoch 3, batch 7"):
        recent.check([Number(1.0), Number("nan")])


def test_a_slow_loader_is_told_once_it_matters(capsys):
    waiting = LoaderTimer()
    waiting.for_data, waiting.for_compute = 29.0, 71.0
    waiting.warn(workers=1)
    waiting.for_data, waiting.for_compute = timing.SHORT * 0.9, 0.0
    waiting.warn(workers=1)
    assert capsys.readouterr().err == ""
    waiting.for_data, waiting.for_compute = 60.0, 40.0
    waiting.warn(workers=0)
    told = capsys.readouterr().err
    assert "60 % of the epoch waited for images" in told and "more --workers" in told
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


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 2, "smaller --batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "smaller --batch-size"),
        (MemoryError("std::bad_alloc"), 2, "smaller --batch-size"),
        (OSError(28, "No space left on device", "x.jsonl"), 2, "x.jsonl: cannot be written (No"),
        (OSError(30, "Read-only file system", "x.jsonl"), 2, "x.jsonl: cannot be written (Read"),
        (PermissionError(13, "Permission denied", "x.png"), 2, "look at the disk and its rights"),
        (errors.RunError("it\ncannot go on"), 1, "error: it cannot go on"),
    ],
)
def test_how_a_run_ends_is_one_line(error, status, words, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        errors.run(main)
    told = capsys.readouterr().err
    assert caught.value.code == status and told.count("\n") == 1 and words in told


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(2, "No such file")])
def test_what_is_not_known_is_shown_whole(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        errors.run(main)
