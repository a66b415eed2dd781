"""An image that cannot be read ends the run with its name, at any number of workers."""

import itertools
import shutil

from tests.support.helpers import assert_user_error, run_mains
from tests.support.planting import Edit
from tests.support.trees import SMALL, TINY, copy_tree, run_train

CASES = [("train", "truncated"), ("val", "text")]


def test_a_damaged_image_is_named(framework, small_folder, small_trees, tmp_path):
    damaged, commands = [], []
    for workers, (split, content) in itertools.product((0, 2), CASES):
        folder = tmp_path / f"{split}-{workers}"
        data = shutil.copytree(small_folder, folder / "data")
        image = data / split / "checks" / "1.jpg"
        whole = image.read_bytes()
        image.write_bytes(b"no image" if content == "text" else whole[: len(whole) // 2])
        damaged.append(image)
        options = ["--data-path", data, *TINY, "--workers", workers]
        commands.append(("train", [*options, "--output-dir", folder / "run"]))
    runs = run_mains(small_trees[framework], tmp_path, *commands)
    for image, done in zip(damaged, runs, strict=True):
        assert_user_error(done, str(image), "cannot be read as an image")


def test_any_other_exception_ends_the_run_too(framework, small_folder, tmp_path):
    """A fault in a tree's own preset: the traceback is shown, and nothing hangs."""
    edit = Edit("normalize(image)", "normalise(image)", "train_preset")
    tree = copy_tree(framework, tmp_path / f"AlexNet-{framework}", [edit, *SMALL])
    for workers in (0, 1):
        options = ["--data-path", small_folder, *TINY, "--workers", workers]
        done = run_train(framework, *options, "--output-dir", tmp_path / f"{workers}", tree=tree)
        assert done.returncode == 1
        assert "name 'normalise' is not defined" in done.stderr


def test_a_device_that_is_not_there_is_named(framework):
    assert_user_error(run_train(framework, "--device", "gpu:7"), "--device gpu:7")
