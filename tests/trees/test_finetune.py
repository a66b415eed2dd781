"""--finetune: all layers but the last from a file, the last drawn for other classes."""

import shutil

import numpy as np
from safetensors.numpy import save_file

from tests.crash import arrays
from tests.support.helpers import SUFFIX, assert_success, assert_user_error, run_mains
from tests.support.trees import TINY


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
    commands = [[*TINY, "--data-path", small_folder, "--output-dir", first], options]
    commands += [[*options, "--finetune", "--momentum", 0, "--output-dir", second]]
    commands += [["--eval-only", "--weights", second / last, "--data-path", data]]
    commands += [["--finetune", "--weights", other, "--data-path", small_folder]]
    runs = run_mains(small_trees[framework], tmp_path, *(("train", words) for words in commands))
    made, refused, tuned, measured, foreign = runs
    assert_user_error(refused, "classifier.6.weight", "--finetune")
    for done in (made, tuned, measured):
        assert_success(done)
    assert "finetune: classifier.6 is drawn anew for 2 classes" in tuned.stdout
    before, after = (set(arrays(run / last).values()) for run in (first, second))
    assert len(before & after) >= 14  # 7 layers, weight and bias
    assert_user_error(foreign, "lacks features.0.bias")
