"""Both trees give the same images in the same order, whatever the number of workers."""

import numpy as np
import pytest

from common.data import draws
from portproof.files.images import read_rgb
from tests.support.helpers import FRAMEWORKS, assert_success, run_warm
from tests.support.streams import ONE_ROUNDING, read_stream, to_bytes

SIZE, SEED, BATCH = 64, 5, 4


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
        assert np.array_equal(to_bytes(torch[name]), to_bytes(paddle[name])), name
        assert np.abs(torch[name] - paddle[name]).max() <= ONE_ROUNDING, name


def test_both_trees_equal_torchvisions_reference(streams, reference, framework):
    stream = streams[framework, 2]
    count = len(reference["val_labels"])
    assert np.array_equal(stream["val_labels"][:count], reference["val_labels"])
    for name, images in (
        ("train_images", stream["train_images"]),
        ("val_images", stream["val_images"][:count]),
    ):
        assert np.array_equal(to_bytes(images), to_bytes(reference[name])), name
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
        assert read_rgb(path).mode == "RGB", path
    turned = read_rgb(odd_folder / "train" / "odd" / "turned.jpg")
    upright = read_rgb(odd_folder / "train" / "odd" / "PROGRESSIVE.JPEG")
    assert turned.size == upright.size  # EXIF rotation is not applied, as in torchvision
