"""tools/compare_data.py: each fault of the data is caught, placed and named; correct ports pass."""

import dataclasses
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from common.paths import ROOT
from portproof.checks.data import check_data
from portproof.checks.train_data import check_train_data
from portproof.core import streams
from portproof.core.streams import Images
from portproof.worker import client
from portproof.worker.client import Side
from tests.support.helpers import assert_user_error, make_folder, run
from tests.support.odd_images import write_odd_images
from tests.support.planted_data import DATA_FAULTS, SPELLINGS
from tests.support.planting import Edit
from tests.support.seldom import chosen
from tests.support.trees import copy_tree
from tools import compare_data
from tools.project import PORTS

CHECKS = {"data": check_data, "train_data": check_train_data}


# One or two of each kind; --all-faults plants the others too.
OFTEN = {
    "channels reversed as decoded",
    "channels reversed after normalization",
    "interpolation",
    "values 0 to 255",
    "not normalized",
    "wrong mean",
    "labels shifted",
    "another resize",
    "classes sorted otherwise",
    "evaluation shuffled",
    "last batch left out",
    "not a number",
    "flip missing",
    "flip of another probability",
    "crop area",
    "crop aspect",
    "no augmentation",
    "the epoch not passed on",
    "train not shuffled",
    "one number in one image",
    "flip missing and a wrong mean",
}


pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes and images of every kind; the last batch of either split is a smaller one."""
    folder = make_folder(tmp_path_factory.mktemp("data") / "small", train=8, val=4)
    odd = tmp_path_factory.mktemp("odd") / "odd"
    write_odd_images(odd)
    for split in ("train", "val"):
        for name in ("turned.jpg", "grey.jpg", "portrait.jpg", "cmyk.jpg", "rgba.png"):
            shutil.copy(odd / name, folder / split / "cross" / name)
    return Images(folder, image_size=64, batch_size=5, workers=0)


@pytest.fixture
def copy(tmp_path):
    """Make copies of trees with edits; the probes that they started end with the test."""
    made = []

    def make(framework, edits):
        made.append(copy_tree(framework, tmp_path / f"AlexNet-{framework}", edits))
        return made[-1]

    yield make
    for key in [key for key in client._kept if Path(key[-1]).parent in made]:
        client._kept.pop(key).close()


def sides(paddle_tree=None, torch_tree=None):
    trees = {"torch": torch_tree, "paddle": paddle_tree}
    made = {name: Side(name, port, is_original=True) for name, port in PORTS.items()}
    return made | {name: Side(name, tree / "port.py") for name, tree in trees.items() if tree}


@pytest.mark.parametrize("name", chosen(DATA_FAULTS, OFTEN))
def test_a_planted_fault_is_caught_and_named(images, tmp_path, copy, name):
    checkpoint, edits, where, words = DATA_FAULTS[name]
    tree = copy("paddle", edits)
    found = CHECKS[checkpoint](sides(tree), tmp_path / "scratch", images)
    told = f"{found.verdict}: {found.where}: {found.cause}\nfix: {found.fix} {found.why or ''}"
    assert found.verdict == "diverged", told
    assert found.name == checkpoint
    assert where in found.where, told
    assert all(word in f"{found.cause} {found.fix}" for word in words), told


def test_a_fault_of_torchs_copy_is_mended_there(images, tmp_path, copy):
    edit = Edit(
        "F.resize(image, resize_size)",
        "F.resize(image, resize_size, F.InterpolationMode.LANCZOS)",
        every=True,
    )
    tree = copy("torch", [edit])
    found = check_data(sides(torch_tree=tree), tmp_path / "scratch", images)
    assert "lanczos in PyTorch, bilinear in PaddlePaddle" in found.cause
    file = tree / "presets.py"
    lines = file.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "LANCZOS" in text)
    assert f"AlexNet-torch/presets.py:{line}" in found.fix


def test_a_tree_that_crashes_is_told_in_its_own_words(images, tmp_path, copy):
    edits = [Edit("epoch, index = key", "raise OSError('no disk today')", "FolderDataset")]
    tree = copy("paddle", edits)
    found = check_data(sides(tree), tmp_path / "scratch", images)
    assert found.verdict == "error" and "\n" not in found.why and "Traceback" not in found.why
    assert "PaddlePaddle" in found.why and "no disk today" in found.why


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"workers": 1, "seed": 7, "batch_size": 4},
        {"workers": 2, "seed": 2**63 - 1, "batch_size": 17, "image_size": 97},
    ],
)
def test_the_trees_as_they_are_are_aligned(images, tmp_path, changes):
    asked = dataclasses.replace(images, **changes)
    for name, check in CHECKS.items():
        found = check(sides(), tmp_path / name, asked)
        assert found.verdict == "aligned", found
        assert found.float64 == found.float32 == 0
        assert found.cause is found.fix is found.where is found.why is None


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_of_the_same_presets_is_aligned(images, tmp_path, copy, name):
    tree = copy("paddle", SPELLINGS[name])
    for checkpoint, check in CHECKS.items():
        found = check(sides(tree), tmp_path / checkpoint, images)
        assert found.verdict == "aligned", found
        assert found.float64 == 0 and found.float32 < 1e-6


def test_workers_that_are_kept_and_not_told_the_epoch_are_seen(images, tmp_path, copy):
    """Without workers the data set is told, so only a loader kept through the epochs shows it."""
    begun = "with signals_held():\n    batches = iter(loader)"
    edits = [
        Edit("epoch, index = key", "epoch, index = self.epoch, key[1]", "FolderDataset"),
        Edit(begun, f"loader.dataset.epoch = epoch\n{begun}", "read_batches"),
    ]
    asked = dataclasses.replace(images, workers=2)
    found = check_train_data(sides(copy("paddle", edits)), tmp_path / "scratch", asked)
    assert found.verdict == "diverged" and "epoch 1, sample" in found.where


@pytest.fixture
def call(tmp_path, capsys):
    """Run the tool in this process; return exit status, JSON and text."""

    def run_tool(*options):
        file = tmp_path / "found.json"
        status = compare_data.main([*map(str, options), "--json", str(file)])
        return status, json.loads(file.read_text()), capsys.readouterr().out

    return run_tool


def test_the_command_tells_of_the_first_divergence_and_draws_it(images, tmp_path, copy, call):
    edits = DATA_FAULTS["flip missing"][1]
    tree = copy("paddle", edits)
    report = tmp_path / "report"
    options = ["--data-path", images.folder, "--limit", 10, "--image-size", 64, "--workers", 0]
    status, found, text = call(*options, "--paddle-tree", tree, "--report", report)
    assert status == 1
    assert not found["aligned"] and found["first_divergence"] == "train_data"
    assert [one["verdict"] for one in found["checkpoints"]] == ["aligned", "diverged"]
    assert found["versions"]["torch"] and found["versions"]["paddlepaddle"]
    assert "data: aligned" in text and "fix:" in text and "flip is missing" in text
    page = (report / "data.html").read_text()
    assert "flip is missing" in page and page.count("data:image/png;base64,") == 1
    assert not re.search(r'(src|href)="(?!data:)', page)  # opens from the disk, with no network
    assert sorted(path.name for path in report.iterdir()) == ["data.html", "train_data.png"]


def test_a_limit_spreads_over_classes_and_leaves_a_smaller_last_batch(images, tmp_path):
    chosen = streams.choose(images.folder, tmp_path / "chosen", limit=8, batch_size=4)
    for split in ("train", "val"):
        names = [path.parent.name for path in (chosen / split).rglob("*.*")]
        assert sorted(names) == ["bars", "bars", "checks", "checks", "checks", "cross", "cross"]
    assert streams.choose(images.folder, tmp_path / "all", 0, 4) == images.folder
    one = streams.choose(images.folder, tmp_path / "one", limit=1, batch_size=4)
    assert len(list(one.glob("*/*/*"))) == 2


def test_no_worker_outlives_its_probe(images, tmp_path, monkeypatch):
    monkeypatch.delenv(
        "PADDLE_PYTHON", raising=False
    )  # the one of these tests would end them by itself
    asked = dataclasses.replace(images, workers=2)
    tree = copy_tree("paddle", tmp_path / "AlexNet-paddle", [])
    check_data(sides(tree), tmp_path / "scratch", asked)
    process = client._kept.pop(Side("paddle", tree / "port.py").key)
    group = process.process.pid
    process.close()
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the killed ones are still being buried
            os.killpg(group, 0)
            time.sleep(0.05)


def test_mistakes_are_one_line_and_exit_status_2(images, tmp_path):
    tool = [sys.executable, ROOT / "tools" / "compare_data.py"]
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        "no such folder": ["--data-path", tmp_path / "no"],
        "lay the images out as": ["--data-path", empty],
        "has no port.py": ["--paddle-tree", tmp_path],
        "did you mean --limit": ["--limmit", 3],
    }
    for words, given in cases.items():
        assert_user_error(run(*tool, *given), words)
