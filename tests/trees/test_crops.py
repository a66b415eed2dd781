"""Ten-crop evaluation: the paper's crops, and the mean of the probabilities, in both trees."""

import numpy as np
import pytest

from common.data import draws
from common.data.folder import index_split
from portproof.files.images import read_rgb
from tests.support.helpers import FRAMEWORKS, SUFFIX, assert_success
from tests.support.streams import MEAN, STD, read_stream
from tests.support.trees import run_train

SIZE = 64
SETTINGS = {"image_size": SIZE, "batch_size": 30, "workers": 0, "seed": 3}
MODEL = {"torch": "import torch; x = torch.from_numpy(images); m = lambda x: 9 * x.mean((2, 3))"}
MODEL |= {"paddle": "import paddle; x = paddle.to_tensor(images); m = lambda x: 9 * x.mean([2, 3])"}


@pytest.fixture(scope="module")
def streams(small_folder, tmp_path_factory):
    settings = SETTINGS | {"data_path": small_folder, "eval_crops": 10, "train_crop": "shifted"}
    folder = tmp_path_factory.mktemp("streams")
    return {name: read_stream(name, folder / name, 1, **settings) for name in FRAMEWORKS}


def test_both_trees_cut_the_same_pixels(streams):
    torch, paddle = (streams[framework] for framework in FRAMEWORKS)
    assert torch["val_images"].shape == (12, 10, 3, SIZE, SIZE)
    assert np.abs(torch["val_images"] - paddle["val_images"]).max() < 1e-6
    assert np.array_equal(torch["val_labels"], paddle["val_labels"])
    assert torch["val_sizes"].tolist() == [3, 3, 3, 3]  # as many crops as there are images


def test_the_crops_are_torchvisions_ten(streams, small_folder):
    from torchvision.transforms import functional as F

    paths = index_split(small_folder, "val").paths
    for images, path in zip(streams["paddle"]["val_images"], paths, strict=True):
        square = F.center_crop(F.resize(read_rgb(path), 73), 73)
        expected = [F.normalize(F.to_tensor(c), MEAN, STD) for c in F.ten_crop(square, SIZE)]
        assert np.abs(images - np.stack(expected)).max() < 1e-6


def test_shifted_crops_have_one_size(streams, small_folder, framework):
    from torchvision.transforms import functional as F

    images, index = streams[framework]["train_images"], index_split(small_folder, "train")
    for image, number in zip(images, draws.order(3, 0, len(index)), strict=True):
        decoded = read_rgb(index.paths[number])
        crop = draws.shifted_crop(3, 0, number, decoded.size, SIZE / 73)
        assert crop.height == crop.width == round(90 * SIZE / 73)
        expected = F.resized_crop(decoded, *crop, (SIZE, SIZE))
        expected = F.hflip(expected) if draws.flip(3, 0, number) else expected
        expected = F.normalize(F.to_tensor(expected), MEAN, STD).numpy()
        assert np.abs(image - expected).max() < 1e-6


@pytest.mark.parametrize("more", [(), ("--cache",)])
def test_the_centre_alone_is_what_evaluation_sees(framework, more, small_folder, tmp_path):
    """No crop is drawn and none is mirrored; of ten crops training still has one."""
    from torchvision.transforms import functional as F

    settings = SETTINGS | {"data_path": small_folder, "train_crop": "centre"}
    settings |= {"cache": tmp_path / "cache"} if more else {"eval_crops": 10}
    stream = read_stream(framework, tmp_path / "stream", 1, **settings)
    index = index_split(small_folder, "train")
    for image, number in zip(stream["train_images"], draws.order(3, 0, len(index)), strict=True):
        square = F.center_crop(F.resize(read_rgb(index.paths[number]), 73), SIZE)
        expected = F.normalize(F.to_tensor(square), MEAN, STD).numpy()
        assert np.abs(image - expected).max() < (0.05 if more else 1e-6)


def test_probabilities_are_averaged(framework, tmp_path, run_in_tree):
    images = np.random.Generator(np.random.Philox(2)).standard_normal([2, 10, 3, 5, 5])
    np.save(tmp_path / "images.npy", images)
    run_in_tree(
        framework,
        f"""
import numpy as np
import crops
images = np.load({str(tmp_path / "images.npy")!r})
{MODEL[framework]}
np.save({str(tmp_path / "ten.npy")!r}, crops.classify(m, x).numpy())
np.save({str(tmp_path / "one.npy")!r}, crops.classify(m, x[:, 4]).numpy())
""",
    )
    logits = 9 * images.mean(axis=(3, 4))  # [2, 10, 3]
    exponents = np.exp(logits)
    mean = (exponents / exponents.sum(axis=2, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(np.exp(np.load(tmp_path / "ten.npy")), mean, rtol=1e-10)
    np.testing.assert_allclose(np.load(tmp_path / "one.npy"), logits[:, 4], rtol=1e-12)


def test_a_run_can_be_evaluated_so(small_run, small_folder):
    framework, tree, run = small_run
    options = ["--data-path", small_folder, "--image-size", 64, "--workers", 0, "--eval-only"]
    options += ["--weights", run / f"best{SUFFIX[framework]}", "--eval-crops", 10]
    assert "val_top1" in assert_success(run_train(framework, *options, tree=tree)).stdout
