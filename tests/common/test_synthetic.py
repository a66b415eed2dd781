import hashlib
import io
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from common.data import synthetic
from portproof.system import errors


@pytest.fixture
def small_sample(monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_PER_CLASS", 2)
    monkeypatch.setattr(synthetic, "VAL_PER_CLASS", 1)


def test_pixels_are_the_same_on_every_machine():
    drawn, decoded = hashlib.sha256(), hashlib.sha256()
    for name in synthetic.CLASSES:
        image = synthetic.draw_image(0, "train", name, 5)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=synthetic.JPEG_QUALITY, subsampling=0)
        drawn.update(image.tobytes())
        decoded.update(np.asarray(Image.open(file)).tobytes())
    assert drawn.hexdigest()[:16] == "3aa2b477b6d6e538"
    assert decoded.hexdigest()[:16] == "cf69889031014771"


def test_images_vary_with_seed_split_and_number():
    keys = itertools.product((0, 1), ("train", "val"), ["rays"], (0, 1, 2))
    images = [synthetic.draw_image(*key) for key in keys]
    assert len({image.tobytes() for image in images}) == len(images)
    assert all(min(image.shape[:2]) >= 260 for image in images)
    assert len({image.shape for image in images}) > 1


def test_the_whole_sample_is_written(tmp_path, small_sample):
    folder = tmp_path / "data" / "sample"
    synthetic.write(folder)
    assert synthetic.is_complete(folder)
    assert sorted(path.name for path in (folder / "train").iterdir()) == synthetic.CLASSES
    assert len(list(folder.glob("train/*/*.jpg"))) == 2 * 10
    assert len(list(folder.glob("val/*/*.jpg"))) == 10
    written = folder / "train" / "disc" / "0001.jpg"
    expected = synthetic.draw_image(0, "train", "disc", 1)
    difference = np.asarray(Image.open(written)).astype(int) - expected
    assert np.abs(difference).mean() < 4  # what JPEG loses


def test_a_complete_sample_is_left_alone(tmp_path, small_sample):
    folder = tmp_path / "sample"
    synthetic.write(folder)
    before = os.stat(folder / "train" / "disc" / "0000.jpg").st_mtime_ns
    synthetic.write(folder)
    assert os.stat(folder / "train" / "disc" / "0000.jpg").st_mtime_ns == before
    synthetic.write(folder, seed=1)  # another seed is another sample
    assert synthetic.is_complete(folder, seed=1) and not synthetic.is_complete(folder, seed=0)


def test_a_failure_leaves_nothing(tmp_path, small_sample, monkeypatch):
    tasks = []

    def full_disk(task):
        tasks.append(task)
        if len(tasks) > 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "ProcessPoolExecutor", ThreadPoolExecutor)  # shares `tasks`
    monkeypatch.setattr(synthetic, "_write_image", full_disk)
    with pytest.raises(errors.UserError, match="No space left"):
        synthetic.write(tmp_path / "sample")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_what_an_interrupted_drawing_left_is_swept_away(tmp_path, small_sample):
    (tmp_path / ".sample.partial" / "train" / "oddity").mkdir(parents=True)
    synthetic.write(tmp_path / "sample")
    assert not (tmp_path / "sample" / "train" / "oddity").exists()
    assert not (tmp_path / ".sample.partial").exists()


def test_a_folder_of_something_else_is_not_overwritten(tmp_path, small_sample):
    precious = tmp_path / "sample" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("all my work")
    with pytest.raises(errors.UserError, match="is no sample"):
        synthetic.write(tmp_path / "sample")
    assert precious.read_text() == "all my work"
