"""The paper's colour noise: its components, its draws, and the same pixels in both trees."""

import argparse
import json
import os
import shutil

import numpy as np
import pytest

from common.data import draws, pca_colour
from common.data.folder import index_split
from common.data.uint8_images import Uint8Images
from experiments.images import fingerprint
from portproof.files.images import read_rgb
from portproof.system.errors import UserError
from tests.support.helpers import FRAMEWORKS
from tests.support.streams import STD, read_stream

NOISE = 0.5  # more than the paper's, so that no rounding hides it


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pca_colour, "CACHE_DIR", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def index(small_folder):
    return index_split(small_folder, "train")


def test_components_are_those_of_all_pixels(index):
    pixels = [np.asarray(read_rgb(path)).reshape(-1, 3) / 255 for path in index.paths]
    covariance = np.cov(np.concatenate(pixels).T, bias=True)
    components = pca_colour.compute(index)
    values, vectors = components.values, components.vectors
    assert values[0] > values[1] > values[2] > 0
    np.testing.assert_allclose(vectors.T @ np.diag(values) @ vectors, covariance, rtol=1e-9)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-12)


def test_components_are_stored_and_computed_again_where_images_have_changed(index, monkeypatch):
    components = pca_colour.find(index)
    stored = json.loads(pca_colour.cache_file(index).read_text())
    assert stored["eigenvalues"] == components.values.tolist() and stored["pictures"] == len(index)
    monkeypatch.setattr(pca_colour, "compute", lambda index: 1 / 0)
    assert np.array_equal(pca_colour.find(index).vectors, components.vectors)
    fewer = index.__class__(index.classes, index.paths[:-1], index.labels[:-1])
    with pytest.raises(ZeroDivisionError):
        pca_colour.find(fewer)
    before = os.stat(index.paths[0])
    os.utime(index.paths[0])  # written anew, as many as before
    with pytest.raises(ZeroDivisionError):
        pca_colour.find(index)
    os.utime(index.paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert np.array_equal(pca_colour.find(index).vectors, components.vectors)
    pca_colour.cache_file(index).write_text("damaged")
    with pytest.raises(ZeroDivisionError):
        pca_colour.find(index)


def test_a_name_that_is_no_text_is_taken_and_an_image_that_is_gone_is_named(index, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "one").mkdir(parents=True)
        name = os.fsencode(tmp_path / split / "one") + b"/no-utf8-\xff.jpg"
        shutil.copy(index.paths[0], name)
    assert fingerprint(tmp_path).startswith("1 train, 1 val, 1 classes, files ")
    odd = index_split(tmp_path, "train")
    assert np.array_equal(pca_colour.find(odd).vectors, pca_colour.compute(odd).vectors)
    os.unlink(odd.paths[0])
    with pytest.raises(UserError, match=r"one/no-utf8.*cannot be read"):
        pca_colour.find(odd)


def test_draws_are_normal_and_of_their_place_alone():
    drawn = np.array([draws.colour(3, epoch, i) for epoch in range(4) for i in range(5000)])
    # Of 60,000 numbers: the deviation of the mean is 0.004, of the standard deviation 0.003.
    assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.015
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.04
    assert len(np.unique(drawn)) == drawn.size
    assert np.array_equal(draws.colour(3, 2, 7), drawn[2 * 5000 + 7])


def test_noise_lies_along_the_components(index):
    components = pca_colour.find(index)
    noise = pca_colour.Noise(components, seed=3, std=0.1)
    shares = components.vectors @ noise.draw(1, 2).astype(np.float64)
    np.testing.assert_allclose(shares, 0.1 * draws.colour(3, 1, 2) * components.values, rtol=1e-5)


def test_both_trees_add_it_to_the_same_pixels(small_folder, index, tmp_path):
    settings = {"data_path": small_folder, "image_size": 64, "batch_size": 1, "workers": 0}
    streams = {}
    for framework in FRAMEWORKS:
        for noise in (0, NOISE):
            folder, more = tmp_path / f"{framework}-{noise}", {"seed": 5, "colour_noise": noise}
            streams[framework, noise] = read_stream(framework, folder, 2, **settings, **more)
    torch, paddle = (streams[framework, NOISE] for framework in FRAMEWORKS)
    assert np.abs(torch["train_images"] - paddle["train_images"]).max() < 1e-6
    noise = pca_colour.Noise(pca_colour.compute(index), seed=5, std=NOISE)
    orders = [draws.order(5, epoch, len(index)) for epoch in range(2)]
    drawn = [noise.draw(epoch, i) for epoch, order in enumerate(orders) for i in order]
    shifts = (np.stack(drawn) / STD)[:, :, None, None]  # [N, 3, 1, 1]
    for framework in FRAMEWORKS:
        plain, noisy = streams[framework, 0], streams[framework, NOISE]
        assert np.array_equal(plain["val_images"], noisy["val_images"])
        added = noisy["train_images"].astype(np.float64) - plain["train_images"]
        assert np.abs(added - shifts).max() < 1e-6


def test_the_faster_loader_adds_it_to_the_nearest_byte(index):
    settings = {"image_size": 64, "resize_size": 73, "seed": 5, "channels_last": True}
    settings |= {"train_crop": "shifted", "cache": None}
    pytest.importorskip("cv2")
    args = [argparse.Namespace(**settings, colour_noise=noise) for noise in (0.0, NOISE)]
    plain, noisy = (Uint8Images(index, arguments, True) for arguments in args)
    noise = pca_colour.Noise(pca_colour.find(index), seed=5, std=NOISE)
    image, noisy_image = np.empty([2, *plain.shape], np.uint8)
    for number in range(len(index)):
        plain.load((1, number), image)
        noisy.load((1, number), noisy_image)
        expected = np.clip(image + 255.0 * noise.draw(1, number), 0, 255)
        assert np.abs(noisy_image - expected).max() <= 0.5 + 1e-3
