"""--finetune: all layers but the last from a file, the last drawn for other classes."""

import hashlib
import shutil
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from portproof.files import pickles
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_user_error, run_train
from tests.support.mains import run_mains

TINY = ["--recipe", "sample", "--image-size", 63, "--epochs", 1, "--warmup-epochs", 0]


def digests(path):
    """Return the SHA-256 of the bytes of each of a checkpoint's arrays."""
    if path.suffix == ".pdparams":
        contents = [array.tobytes() for array in pickles.read(path)["model"].values()]
    else:
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in archive.namelist() if "/data/" in name]
    return {hashlib.sha256(one).hexdigest() for one in contents}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_last_layer_is_new_and_the_others_are_the_files(
    framework, small_folder, small_trees, tmp_path
):
    data = shutil.copytree(small_folder, tmp_path / "two")
    for split in ("train", "val"):
        shutil.rmtree(data / split / "bars")
    last = f"last{SUFFIX[framework]}"
    first, second = tmp_path / "first", tmp_path / "second"
    other = tmp_path / "other.safetensors"
    save_file({"features.0.weight": np.zeros((64, 3, 11, 11), np.float32)}, other)
    options = [*TINY, "--data-path", data, "--weights", first / last, "--lr", 0]
    made, refused, tuned, measured, foreign = run_mains(
        small_trees[framework],
        tmp_path,
        ("train", [*TINY, "--data-path", small_folder, "--output-dir", first]),
        ("train", options),
        ("train", [*options, "--finetune", "--momentum", 0, "--output-dir", second]),
        ("train", ["--eval-only", "--weights", second / last, "--data-path", data]),
        ("train", ["--finetune", "--weights", other, "--data-path", small_folder]),
    )
    assert made.returncode == 0, made.stderr
    assert_user_error(refused, "classifier.6.weight", "--finetune")
    assert tuned.returncode == 0, tuned.stderr
    assert "finetune: classifier.6 is drawn anew for 2 classes" in tuned.stdout
    assert len(digests(first / last) & digests(second / last)) >= 14  # 7 layers, weight and bias
    assert measured.returncode == 0, measured.stderr
    assert_user_error(foreign, "lacks features.0.bias")


def test_it_needs_weights_and_training():
    assert_user_error(run_train("torch", "--finetune"), "--finetune trains on from weights")
