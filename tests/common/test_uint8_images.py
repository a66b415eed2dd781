"""The faster loader: the draws of the exact one, pixels close to its, the same in both trees."""

import argparse
import io
import sys

import numpy as np
import pytest
from PIL import Image

from common.data import draws, image_files, uint8_images
from common.data.batches import EpochBatches
from common.data.draws import Crop
from common.data.folder import index_split
from common.data.image_files import read_crop
from common.data.thread_loader import ThreadLoader
from common.data.uint8_images import Uint8Images
from portproof.files.images import read_rgb
from portproof.system.errors import UserError
from tests.support.helpers import FRAMEWORKS
from tests.support.streams import ONE_ROUNDING, read_stream, to_bytes

SIZE, SEED, BATCH = 64, 5, 4
KINDS = {
    "4:2:0": {"subsampling": 2}, "4:2:2": {"subsampling": 1}, "4:4:4": {"subsampling": 0},
    "grey": {"mode": "L"}, "CMYK": {"mode": "CMYK"}, "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3}, "comment": {"comment": b"\xff\xc0" * 400},
}  # fmt: skip


def dataset_of(index, **others):
    """Return the data set of a split's training, with other settings too."""
    settings = {"image_size": SIZE, "resize_size": 73, "seed": SEED, "channels_last": True}
    settings |= {"colour_noise": 0.0, "train_crop": "resized", "cache": None}
    return Uint8Images(index, argparse.Namespace(**settings | others), True)


def load(dataset, epoch, index):
    image = np.empty(dataset.shape, np.uint8)
    dataset.load((epoch, index), image)
    return image


@pytest.fixture(scope="module")
def train(small_folder):
    return index_split(small_folder, "train")


def drawn(index, epoch, number):
    """Return an image, and the crop and the flip that are drawn of it."""
    image = read_rgb(index.paths[number])
    crop = draws.random_crop(SEED, epoch, number, image.size)
    return image, crop, draws.flip(SEED, epoch, number)


def exact(image, crop, flip):
    """Return what the exact loader makes of it: Pillow's crop and resize."""
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    small = image.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else small)


def difference(image, other):
    return np.abs(image.astype(int) - other)


def test_pixels_are_close_to_the_exact_ones(train):
    """Enlarging is the same arithmetic in both, but for rounding. Where it makes smaller, Pillow
    averages over more pixels: the difference stays below that of a crop one pixel off."""
    dataset = dataset_of(train)
    enlarged, shrunk, moved = [], [], []
    for number in range(len(train)):
        for epoch in range(4):
            image, crop, flip = drawn(train, epoch, number)
            right = exact(image, crop, flip)
            error = difference(right, load(dataset, epoch, number))
            if max(crop.height, crop.width) <= SIZE:
                enlarged.append(error.max())
            else:
                shrunk.append(error.mean())
                step = 1 if crop.left == 0 else -1
                beside = exact(image, crop._replace(left=crop.left + step), flip)
                moved.append(difference(right, beside).mean())
    assert len(enlarged) > 5 and max(enlarged) <= 2
    assert len(shrunk) > 5 and np.mean(shrunk) < np.mean(moved) / 2


def test_the_draws_of_an_image_are_those_of_the_exact_loader(train, monkeypatch):
    crops = []

    def read(path, draw, size):
        crops.append(draw(107, 90))
        return np.zeros((9, 9, 3), np.uint8)

    monkeypatch.setattr(uint8_images, "read_crop", read)
    load(dataset_of(train), 3, 7)
    assert crops == [draws.random_crop(SEED, 3, 7, (107, 90))]


@pytest.mark.parametrize("last", [False, True])
def test_both_layouts_hold_the_same_image(train, last):
    dataset = dataset_of(train, channels_last=last)
    assert dataset.shape == ((SIZE, SIZE, 3) if last else (3, SIZE, SIZE))
    image = load(dataset, 0, 0)
    image = image if last else image.transpose(1, 2, 0)
    assert np.array_equal(image, load(dataset_of(train), 0, 0))


def jpeg(path, size, mode="RGB", **options):
    """Write a JPEG file of smooth noise."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)
    image.save(path, "JPEG", quality=90, **options)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_jpeg_file_is_that_of_the_whole(kind, tmp_path):
    path = jpeg(tmp_path / "a.jpg", (70, 67), **KINDS[kind])
    whole = np.asarray(read_rgb(path))
    for bottom in range(1, 68):
        crop = Crop(max(bottom - 9, 0), 5, min(bottom, 9), 60)
        part = read_crop(path, lambda width, height, crop=crop: crop, 64)
        assert np.array_equal(part, whole[crop.top : bottom, 5:65]), bottom


def test_rows_below_a_part_are_not_decoded(tmp_path):
    """Else the damage in the last third of the file would be found."""
    path = jpeg(tmp_path / "a.jpg", (160, 160))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert read_crop(path, lambda *size: Crop(0, 0, 40, 160), 64).shape == (40, 160, 3)
    with pytest.raises(UserError, match=r"a\.jpg: cannot be read as an image"):
        read_crop(path, lambda *size: Crop(0, 0, 150, 160), 64)


@pytest.mark.parametrize(("side", "factor"), [(127, 1), (128, 2), (255, 2), (256, 4), (512, 8)])
def test_a_large_part_is_decoded_at_a_fraction_of_its_size(side, factor, tmp_path):
    path = jpeg(tmp_path / "a.jpg", (600, 530))
    part = read_crop(path, lambda *size: Crop(8, 16, side, side + 8), 64)
    for length, right in zip(part.shape, (side / factor, (side + 8) / factor), strict=False):
        assert abs(length - right) <= 1
    whole = read_rgb(path).crop((16, 8, 24 + side, 8 + side))
    shrunk = np.asarray(whole.resize(part.shape[1::-1], Image.Resampling.BOX))
    assert difference(shrunk, part).mean() < 3  # of 255: the edges are off by half a pixel at most


def test_what_is_no_sequential_jpeg_file_is_read_whole(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    assert image_files._find_frame(buffer.getvalue()) is None
    whole = jpeg(tmp_path / "a.jpg", (64, 64)).read_bytes()
    assert image_files._find_frame(whole).height == 64
    for end in range(0, 200):  # any number of bytes is an answer, not an exception
        image_files._find_frame(whole[:end])


def read_all(index, workers, first=0, batch=BATCH):
    batches = EpochBatches(len(index), batch, SEED, shuffle=True)
    batches.epoch, batches.first = 1, first
    loader = ThreadLoader(dataset_of(index), batches, workers)
    return [(images.copy(), labels) for images, labels, _ in loader]


def assert_same_batches(batches, others):
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        assert np.array_equal(images, other_images) and np.array_equal(labels, other_labels)


@pytest.mark.parametrize("batch", [1, 4, 20])
def test_threads_change_nothing(train, batch):
    alone = read_all(train, 0, batch=batch)
    assert sum(len(labels) for _, labels in alone) == len(train)
    for workers in (1, 3):
        assert_same_batches(alone, read_all(train, workers, batch=batch))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_resumes_in_the_middle(train, workers):
    assert_same_batches(read_all(train, 2)[2:], read_all(train, workers, first=2))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_ends_the_reading_with_its_name(train, workers, tmp_path):
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no image")
    index = type(train)(train.classes, [*train.paths[:9], str(damaged)], train.labels[:10])
    with pytest.raises(UserError, match=r"damaged\.jpg: cannot be read"):
        read_all(index, workers)


def test_opencv_is_asked_for_where_it_is_missing(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # importing it fails
    monkeypatch.setattr(uint8_images, "opencv", uint8_images.opencv.__wrapped__)
    with pytest.raises(UserError, match="need OpenCV: install it by"):
        dataset_of(train)


@pytest.fixture(scope="module")
def streams(small_folder, tmp_path_factory):
    """Two epochs of train and one of val, by tree and option; torch's exact ones as `exact`."""
    out = tmp_path_factory.mktemp("streams")
    settings = {"data_path": small_folder, "image_size": SIZE, "seed": SEED, "batch_size": BATCH}
    cached = {"cache": out / "cache", "workers": 2}
    more = {("torch", "cache"): cached | {"channels_last": True}, ("paddle", "cache"): cached}
    more |= {("torch", "fast"): {"fast": True, "workers": 2}, ("torch", "exact"): {"workers": 2}}
    more["paddle", "fast"] = {"fast": True, "workers": 0}
    folders = {name: out / "-".join(name) for name in more}
    return {n: read_stream(n[0], folders[n], 2, **settings, **more[n]) for n in more}


@pytest.mark.parametrize("kind", ["fast", "cache"])
def test_both_trees_give_the_same_pixels(streams, kind):
    for split in ("train", "val"):
        torch, paddle = (to_bytes(streams[name, kind][f"{split}_images"]) for name in FRAMEWORKS)
        assert np.array_equal(torch, paddle)
        for what in ("labels", "sizes"):
            name = f"{split}_{what}"
            assert np.array_equal(streams["torch", kind][name], streams["torch", "exact"][name])
            assert np.array_equal(streams["paddle", kind][name], streams["torch", "exact"][name])


def test_training_sees_what_the_loader_makes(streams, train):
    dataset = dataset_of(train)
    orders = [draws.order(SEED, epoch, len(train)).tolist() for epoch in (0, 1)]
    keys = [(epoch, number) for epoch, order in enumerate(orders) for number in order]
    images = to_bytes(streams["torch", "fast"]["train_images"])
    for image, key in zip(images, keys, strict=True):
        assert np.array_equal(image, load(dataset, *key))


@pytest.mark.parametrize("kind", ["fast", "cache"])
def test_evaluation_has_the_exact_pixels(streams, framework, kind):
    right, images = (streams[key]["val_images"] for key in (("torch", "exact"), (framework, kind)))
    assert np.array_equal(to_bytes(images), to_bytes(right))
    # Another order of the arithmetic: two roundings of numbers up to 4.
    assert np.abs(images - right).max() < 2 * ONE_ROUNDING
