"""tools/compare_data.py: each fault of the data is caught, placed and named; correct ports pass."""

import dataclasses
import os
import re
import time

import pytest

from portproof.checks.data import check_data
from portproof.checks.train_data import check_train_data
from portproof.core import streams
from portproof.core.streams import Images
from portproof.port import PORT
from portproof.worker import client
from portproof.worker.client import Side
from tests.support.fault_choice import chosen
from tests.support.odd_images import make_folder_with_odd
from tests.support.planted_data import DATA_FAULTS, SPELLINGS
from tests.support.planting import Edit
from tests.support.trees import copy_tree
from tools import compare_data
from tools.project import PORTS

CHECKS = {"data": check_data, "train_data": check_train_data}

# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    "channels reversed as decoded", "channels reversed after normalization", "interpolation",
    "values 0 to 255", "not normalized", "wrong mean", "labels shifted", "another resize",
    "classes sorted otherwise", "evaluation shuffled", "last batch left out", "not a number",
    "flip missing", "flip of another probability", "crop area", "crop aspect", "no augmentation",
    "the epoch not passed on", "train not shuffled", "one number in one image",
    "flip missing and a wrong mean",
}  # fmt: skip
SETTINGS = [{}, {"workers": 1, "seed": 7, "batch_size": 4}]
SETTINGS += [{"workers": 2, "seed": 2**63 - 1, "batch_size": 17, "image_size": 97}]

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes and images of every kind; the last batch of either split is a smaller one."""
    folder = make_folder_with_odd(tmp_path_factory.mktemp("data") / "small")
    return Images(folder, image_size=64, batch_size=5, workers=0)


@pytest.fixture
def compare(images, tmp_path):
    """A function that returns the verdict of a checkpoint, on the trees or on edited copies."""

    def call(checkpoint, paddle=(), torch=(), **changes):
        sides = {}
        for framework, edits in (("torch", torch), ("paddle", paddle)):
            port, tree = PORTS[framework], tmp_path / f"AlexNet-{framework}"
            if edits:
                port = (tree if tree.exists() else copy_tree(framework, tree, edits)) / PORT
            sides[framework] = Side(framework, port, is_original=not edits)
        changed = dataclasses.replace(images, **changes)
        return CHECKS[checkpoint](sides, tmp_path / f"{checkpoint}-scratch", changed)

    return call


@pytest.mark.parametrize("name", chosen(DATA_FAULTS, OFTEN))
def test_a_planted_fault_is_caught_and_named(compare, name):
    checkpoint, edits, where, words = DATA_FAULTS[name]
    verdict = compare(checkpoint, edits)
    assert (verdict.name, verdict.verdict) == (checkpoint, "diverged"), verdict
    assert where in verdict.where, verdict
    assert all(word in f"{verdict.cause} {verdict.fix}" for word in words), verdict


def test_a_fault_of_torchs_copy_is_mended_there(compare, tmp_path):
    resize = "F.resize(image, resize_size"
    edit = Edit(f"{resize})", f"{resize}, F.InterpolationMode.LANCZOS)", every=True)
    verdict = compare("data", torch=[edit])
    assert "lanczos in PyTorch, bilinear in PaddlePaddle" in verdict.cause
    lines = (tmp_path / "AlexNet-torch" / "presets.py").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "LANCZOS" in text)
    assert f"AlexNet-torch/presets.py:{line}" in verdict.fix


def test_a_tree_that_crashes_is_told_in_its_own_words(compare):
    edits = [Edit("epoch, index = key", "raise OSError('no disk today')", "FolderDataset")]
    verdict = compare("data", edits)
    assert verdict.verdict == "error" and "\n" not in verdict.why and "Traceback" not in verdict.why
    assert "PaddlePaddle" in verdict.why and "no disk today" in verdict.why


@pytest.mark.parametrize("checkpoint", CHECKS)
@pytest.mark.parametrize("changes", SETTINGS)
def test_the_trees_as_they_are_are_aligned(compare, checkpoint, changes):
    verdict = compare(checkpoint, **changes)
    assert verdict.verdict == "aligned", verdict
    assert verdict.float64 == verdict.float32 == 0
    assert verdict.cause is verdict.fix is verdict.where is verdict.why is None


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_of_the_same_presets_is_aligned(compare, name):
    for checkpoint in CHECKS:
        verdict = compare(checkpoint, SPELLINGS[name])
        assert verdict.verdict == "aligned", verdict
        assert verdict.float64 == 0 and verdict.float32 < 1e-6


def test_workers_that_are_kept_and_not_told_the_epoch_are_seen(compare):
    """Without workers the data set is told, so only a loader kept through the epochs shows it."""
    begun = "with signals_held():\n    batches = iter(loader)"
    edits = [Edit("epoch, index = key", "epoch, index = self.epoch, key[1]", "FolderDataset")]
    edits += [Edit(begun, f"loader.dataset.epoch = epoch\n{begun}", "read_batches")]
    verdict = compare("train_data", edits, workers=2)
    assert verdict.verdict == "diverged" and "epoch 1, sample" in verdict.where


def test_the_command_tells_of_the_first_divergence_and_draws_it(images, tmp_path, run_tool):
    pages = tmp_path / "pages"
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", DATA_FAULTS["flip missing"][1])
    options = ["--data-path", images.folder, "--limit", 10, "--image-size", 64, "--workers", 0]
    options += ["--paddle-tree", tree, "--report", pages]
    status, report, text = run_tool(compare_data, *options)
    assert status == 1
    assert not report["aligned"] and report["first_divergence"] == "train_data"
    assert [check["verdict"] for check in report["checkpoints"]] == ["aligned", "diverged"]
    assert report["versions"]["torch"] and report["versions"]["paddlepaddle"]
    assert "data: aligned" in text and "fix:" in text and "flip is missing" in text
    page = (pages / "data.html").read_text()
    assert "flip is missing" in page and page.count("data:image/png;base64,") == 1
    assert not re.search(r'(src|href)="(?!data:)', page)  # opens from the disk, with no network
    assert sorted(path.name for path in pages.iterdir()) == ["data.html", "train_data.png"]


def test_a_limit_spreads_over_classes_and_leaves_a_smaller_last_batch(images, tmp_path):
    folder = streams.choose(images.folder, tmp_path / "chosen", limit=8, batch_size=4)
    for split in ("train", "val"):
        names = [path.parent.name for path in (folder / split).rglob("*.*")]
        assert sorted(names) == ["bars", "bars", "checks", "checks", "checks", "cross", "cross"]
    assert streams.choose(images.folder, tmp_path / "all", 0, 4) == images.folder
    single = streams.choose(images.folder, tmp_path / "single", limit=1, batch_size=4)
    assert len(list(single.glob("*/*/*"))) == 2


def test_no_worker_outlives_its_probe(compare, tmp_path, monkeypatch):
    # The interpreter of these tests would end them by itself.
    monkeypatch.delenv("PADDLE_PYTHON", raising=False)
    compare("data", [Edit("0.229", "0.2290")], workers=2)  # a copy that is the same
    process = client._kept.pop(Side("paddle", tmp_path / "AlexNet-paddle" / PORT).key)
    group = process.process.pid
    process.close()
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the killed ones are still being buried
            os.killpg(group, 0)
            time.sleep(0.05)
