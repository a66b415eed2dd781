"""Both trees give the same images in the same order, whatever the number of workers."""

import shutil

import numpy as np
import pytest

from common.data import draws
from common.data.image_files import read_rgb
from tests.support.helpers import FRAMEWORKS, assert_success, make_folder, read_stream, run_warm
from tests.support.odd_images import write_odd_images

SIZE, SEED, BATCH = 64, 5, 4
MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
# The largest value is (1 - 0.406) / 0.225 = 2.64, and float32 numbers up to 4 lie 2.4e-7 apart.
ONE_ROUNDING = 2.5e-7


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("data") / "odd", classes=2, train=3, val=2)
    write_odd_images(folder / "train" / "odd")
    shutil.copytree(folder / "train" / "odd", folder / "val" / "odd")
    return folder


@pytest.fixture(scope="module")
def streams(odd_folder, tmp_path_factory):
    """Two epochs of train and val by (framework, workers)."""
    settings = {"data_path": odd_folder, "image_size": SIZE, "seed": SEED, "batch_size": BATCH}
    out = tmp_path_factory.mktemp("streams")

    def read(framework, workers):
        folder = out / f"{framework}-{workers}"
        return read_stream(framework, folder, 2, workers=workers, **settings)

    return {(name, workers): read(name, workers) for name in FRAMEWORKS for workers in (0, 1, 2)}


@pytest.fixture(scope="module")
def reference(odd_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "reference.npz"
    words = ["-m", "tests.support.torchvision_reference", odd_folder, SIZE, SEED, out]
    assert_success(run_warm("torch", *words))
    return dict(np.load(out))


def pixels(images):
    """Undo the normalization: the bytes that the preset started from."""
    values = (images.astype(np.float64) * STD + MEAN) * 255
    assert np.abs(values - np.round(values)).max() < 1e-3
    return np.round(values)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(streams, framework, workers):
    alone, parallel = streams[framework, 0], streams[framework, workers]
    assert alone.keys() == parallel.keys()
    for name in alone:
        assert np.array_equal(alone[name], parallel[name]), name


def test_both_trees_give_the_same_samples(streams):
    torch, paddle = streams["torch", 2], streams["paddle", 2]
    for name in ("train_labels", "train_sizes", "val_labels", "val_sizes"):
        assert np.array_equal(torch[name], paddle[name]), name
    for name in ("train_images", "val_images"):
        assert torch[name].shape == paddle[name].shape
        assert torch[name].dtype == paddle[name].dtype == np.float32
        assert np.array_equal(pixels(torch[name]), pixels(paddle[name])), name
        assert np.abs(torch[name] - paddle[name]).max() <= ONE_ROUNDING, name


def test_both_trees_equal_torchvisions_reference(streams, reference, framework):
    stream = streams[framework, 2]
    count = len(reference["val_labels"])
    assert np.array_equal(stream["val_labels"][:count], reference["val_labels"])
    for name, images in (
        ("train_images", stream["train_images"]),
        ("val_images", stream["val_images"][:count]),
    ):
        assert np.array_equal(pixels(images), pixels(reference[name])), name
        assert np.abs(images - reference[name]).max() <= ONE_ROUNDING, name


def test_train_is_shuffled_anew_each_epoch_and_val_is_not(streams, odd_folder):
    stream = streams["torch", 0]
    count = len(stream["train_labels"]) // 2
    labels = np.repeat([0, 1, 2], [3, 3, count - 6])
    for epoch in (0, 1):
        shown = stream["train_labels"][epoch * count : (epoch + 1) * count]
        assert np.array_equal(shown, labels[draws.order(SEED, epoch, count)])
    val = stream["val_labels"]
    assert np.array_equal(val[: len(val) // 2], np.sort(val[: len(val) // 2]))
    assert np.array_equal(val[: len(val) // 2], val[len(val) // 2 :])


def test_every_sample_is_in_a_batch_and_the_last_is_smaller(streams):
    sizes = streams["paddle", 2]["train_sizes"]
    count = len(streams["paddle", 2]["train_labels"]) // 2
    per_epoch = sizes[: len(sizes) // 2]
    assert set(per_epoch[:-1]) == {BATCH}
    assert per_epoch.sum() == count and 0 < per_epoch[-1] < BATCH


def test_odd_images_are_read_as_three_channels(odd_folder):
    for path in (odd_folder / "train" / "odd").iterdir():
        image = read_rgb(path)
        assert image.mode == "RGB", path
    turned = read_rgb(odd_folder / "train" / "odd" / "turned.jpg")
    upright = read_rgb(odd_folder / "train" / "odd" / "PROGRESSIVE.JPEG")
    assert turned.size == upright.size  # EXIF rotation is not applied, as in torchvision
