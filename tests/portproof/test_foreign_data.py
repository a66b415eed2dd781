"""Loaders of other people's ports are compared too: what they know nothing of is not told."""

import pytest

from common.data.folder import index_split
from portproof.checks.data import check_data
from portproof.checks.train_data import check_train_data
from portproof.cli import data
from portproof.core.streams import Images
from portproof.port import PORT
from portproof.report import data as data_report
from portproof.worker.client import Side
from tests.support.helpers import FRAMEWORKS, make_folder

# Ten arrays of no image, in batches of at most four; no file and no Pillow.
ARRAYS = """
import numpy as np


def batches(split, epoch, settings):
    rng = np.random.default_rng([settings["seed"], epoch, split == "train"])
    x = rng.standard_normal([10, 8]).astype(np.float32)
    y = np.arange(10) % 3
    for start in range(0, 10, 4):
        yield {"x": x[start : start + 4], "y": y[start : start + 4]}
"""
# Images by Pillow, their crops and flips drawn in a way of their own; no samples(), no listener.
IMAGES = """
from pathlib import Path

import numpy as np
from PIL import Image


def load(path, rng, size):
    image = Image.open(path).convert("RGB")
    if rng is not None:
        area, left, top, flip = rng.uniform(0.1, 1.0), *rng.random(3)
        width, height = (round(side * area**0.5) for side in image.size)
        left, top = int(left * (image.width - width)), int(top * (image.height - height))
        image = image.crop((left, top, left + width, top + height))
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    if rng is not None and flip < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def batches(split, epoch, settings):
    paths = sorted(Path(settings["data_path"], split).glob("*/*"))
    classes = sorted({path.parent.name for path in paths})
    for start in range(0, len(paths), 5):
        images, labels = [], []
        for n in range(start, min(start + 5, len(paths))):
            rng = np.random.default_rng([settings["seed"], epoch, n]) if split == "train" else None
            images.append(load(paths[n], rng, settings["image_size"]))
            labels.append(classes.index(paths[n].parent.name))
        yield {"images": np.stack(images), "labels": np.array(labels)}
"""

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("data") / "small", train=8, val=4)
    return Images(folder, image_size=32, batch_size=5, workers=0)


def write_ports(folder, port, *edit):
    """Write a port for each side, with one text in place of another in the Paddle side's."""
    sides = {}
    for framework in FRAMEWORKS:
        text = port.replace(*edit) if edit and framework == "paddle" else port
        assert not edit or (text != port) == (framework == "paddle")
        tree = folder / f"my-{framework}"
        tree.mkdir()
        (tree / PORT).write_text(text)
        sides[framework] = Side(framework, tree / PORT)
    return sides


def compare(check, folder, images, port, *edit):
    """Hold a port against itself with one text in place of another, the Paddle side's."""
    return check(write_ports(folder, port, *edit), folder / "scratch", images)


@pytest.mark.parametrize("port", [ARRAYS, IMAGES])
@pytest.mark.parametrize("check", [check_data, check_train_data])
def test_the_same_loader_is_aligned(images, tmp_path, check, port):
    verdict = compare(check, tmp_path, images, port)
    assert verdict.verdict == "aligned", verdict
    assert verdict.float32 == 0


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("np.arange(10) % 3", "np.arange(10) % 3 + 1", "sample 0", "labels are shifted by +1"),
        ("np.arange(10) % 3", "np.eye(3)[np.arange(10) % 3]", "batch 0", "float64 [N, 3]"),
        (', "y": y[start : start + 4]', "", "batch 0", "labels are not there"),
        ("0, 10, 4", "0, 8, 4", "the last batch", "leaves the last batch out, of 2 images"),
        ("astype(np.float32)", "astype(np.float64)", "sample 0", "float64 in PaddlePaddle"),
        ("    y =", "    x[7] *= 1.001\n    y =", "sample 7", "numbers differ"),
        ("    y =", "    x = x[::-1].copy()\n    y =", "sample 0", "evaluates in reverse order"),
        ("    y =", "    x = rng.permuted(x, axis=1)\n    y =", "sample 0", "differ by up to"),
    ],
)  # fmt: skip
def test_a_loader_without_pillow_is_compared(images, tmp_path, old, new, where, words):
    verdict = compare(check_data, tmp_path, images, ARRAYS, old, new)
    message = f"{verdict.where}: {verdict.cause} {verdict.fix} {verdict.details}"
    assert verdict.verdict == "diverged", verdict
    assert where in message and words in message
    written = data_report.write(tmp_path / "report", [verdict], {})
    assert all(file.stat().st_size for file in written)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("uniform(0.1, 1.0)", "uniform(0.5, 1.0)", "range of area in PaddlePaddle: area 0.5"),
        ("flip < 0.5", "flip < 0", "the flip is missing"),
        ("flip < 0.5", "flip < 1", "flips always"),
        ("epoch, n])", "0, n])", "the same crop in every epoch"),
        ("Resampling.BILINEAR", "Resampling.BICUBIC", "interpolation is bicubic"),
        ("FLIP_LEFT_RIGHT", "FLIP_TOP_BOTTOM", "flips vertically"),
    ],
)  # fmt: skip
def test_what_pillow_was_asked_for_names_the_cause(images, tmp_path, old, new, words):
    verdict = compare(check_train_data, tmp_path, images, IMAGES, old, new)
    assert verdict.verdict == "diverged", verdict
    assert words in verdict.cause
    assert "my-paddle/port.py:" in verdict.fix
    assert "drawn with" not in verdict.cause and "no such draw" not in verdict.cause


def test_an_image_says_which_step_differs_and_on_which_line(images, tmp_path):
    edit = ("Resampling.BILINEAR", "Resampling.LANCZOS")
    verdict = compare(check_data, tmp_path, images, IMAGES, *edit)
    path = index_split(images.folder, "val").paths[0].rpartition("val/")[2]
    assert verdict.where == f"sample 0 (val/{path})"
    line = next(n for n, text in enumerate(IMAGES.splitlines(), 1) if edit[0] in text)
    assert f"my-paddle/port.py:{line}: resize with interpolation bilinear" in verdict.fix


def test_a_port_without_batches_is_not_run(images, tmp_path, capsys):
    sides = write_ports(tmp_path, ARRAYS, "def batches", "def batch_of")
    ports = [text for name, side in sides.items() for text in (f"--{name}-port", str(side.port))]
    assert data.main([*ports, "--data-path", str(images.folder), "--image-size", "32"]) == 2
    why = f"{sides['paddle'].port} has no batches()"
    text = capsys.readouterr().out
    assert text.splitlines() == [f"data: not run - {why}", f"train_data: not run - {why}"]


def test_a_batch_that_has_no_names_is_the_users_mistake(images, tmp_path):
    edit = ('{"x": x[start : start + 4], "y": y[start : start + 4]}', "x[start : start + 4]")
    verdict = compare(check_data, tmp_path, images, ARRAYS, *edit)
    assert verdict.verdict == "error"
    assert "gives a ndarray, not a dict by name" in verdict.why
