"""A picture that cannot be read ends the run with its name, at any number of workers."""

import shutil

import pytest

from tests.helpers import FRAMEWORKS, assert_user_error, run_train


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("split", "content"),
    [("train", "truncated"), ("val", "text")],
)
def test_a_damaged_picture_is_named(framework, workers, split, content, small_folder, tmp_path):
    data = shutil.copytree(small_folder, tmp_path / "data")
    damaged = data / split / "checks" / "1.jpg"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"no picture" if content == "text" else whole[: len(whole) // 2])
    done = run_train(
        framework, "--data-path", data, "--recipe", "sample", "--image-size", 63, "--epochs", 1,
        "--warmup-epochs", 0, "--batch-size", 6, "--workers", workers,
        "--output-dir", tmp_path / "run",
    )  # fmt: skip
    assert_user_error(done, str(damaged), "cannot be read as a picture")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_any_other_exception_ends_the_run_too(framework, small_folder, tmp_path):
    """A fault in a tree's own preset: the traceback is shown, and nothing hangs."""
    import sys

    from common.paths import ROOT
    from tests.helpers import run

    tree = shutil.copytree(ROOT / f"AlexNet-{framework}", tmp_path / "tree")
    preset = (tree / "presets.py").read_text()
    (tree / "presets.py").write_text(
        preset.replace("def normalize(picture: Image)", "def normalize_(picture: Image)")
    )
    for workers in (0, 1):
        done = run(
            sys.executable, tree / "train.py", "--data-path", small_folder, "--epochs", 1,
            "--image-size", 63, "--workers", workers, "--output-dir", tmp_path / f"{workers}",
        )  # fmt: skip
        assert done.returncode == 1
        assert "name 'normalize' is not defined" in done.stderr


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_mistakes_on_the_command_line(framework):
    assert_user_error(run_train(framework, "--data-path", "/nowhere"), "no such folder")
    assert_user_error(run_train(framework, "--epoch", 3), "did you mean --epochs?")
    assert_user_error(run_train(framework, "--device", "gpu:7"), "--device gpu:7")
