"""Public data sets: fetched and checked, laid out atomically, the same for both trees."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from common.data import folder, public_data
from tests.support import fake_archives
from tests.support.fetching import CLOSED, run_fetching
from tests.support.helpers import assert_success, assert_user_error
from tests.support.trees import TINY, run_train_changed


def fetch(name, base, patch, output, python=None):
    """Run scripts/fetch_dataset.py with other addresses and checksums in torchvision's classes."""
    return run_fetching("fetch_dataset", [name, "--output", output], base, patch, python)


@pytest.fixture(params=sorted(fake_archives.WRITERS))
def archive(request, tmp_path):
    """A small archive of each data set: (name, the folder with its files, the patch)."""
    files = tmp_path / "files"
    files.mkdir()
    return request.param, files, fake_archives.WRITERS[request.param](files)


EXPECTED = {  # classes, images of train and of val
    "cifar10": (["airplane", "automobile", "bird"], 30, 6),
    "imagenette": (["French horn", "tench"], 6, 4),
    "flowers102": (["blackberry lily", "hard-leaved pocket orchid", "pink primrose"], 6, 6),
}


def test_it_is_laid_out_as_an_image_folder(archive, tmp_path):
    name, files, patch = archive
    output = tmp_path / "data" / name
    with fake_archives.served(files) as (base, requests):
        done = fetch(name, base, patch, output, python=sys.executable)
        assert (done.returncode, done.stderr) == (0, "")  # no bar where nobody watches
        train, val = folder.index_data(output)
        assert (train.classes, len(train), len(val)) == EXPECTED[name]
        assert {path.name for path in output.iterdir()} == {"train", "val", "dataset.json"}
        assert json.loads((output / "dataset.json").read_text()) == public_data.description(name)
        for path in train.paths:
            Image.open(path).load()

        requests.clear()  # a second call finds it whole
        assert_success(fetch(name, base, patch, output))
        assert not requests
    kept = tmp_path / "data" / ".downloads" / name
    assert sorted(path.name for path in kept.iterdir()) == sorted(p.name for p in files.iterdir())


def test_cifar10_loses_no_pixel(tmp_path):
    patch = fake_archives.write_cifar10(tmp_path)
    with fake_archives.served(tmp_path) as (base, _):
        assert_success(fetch("cifar10", base, patch, tmp_path / "cifar10"))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3072)).astype(np.uint8)
    written = Image.open(tmp_path / "cifar10" / "train" / "automobile" / "00001.png")
    assert np.array_equal(np.asarray(written).transpose(2, 0, 1).ravel(), pixels[1])


def test_flowers_of_the_official_train_and_val_are_trained_on(tmp_path):
    patch = fake_archives.write_flowers102(tmp_path)
    with fake_archives.served(tmp_path) as (base, _):
        assert_success(fetch("flowers102", base, patch, tmp_path / "f"))
    train, val = folder.index_data(tmp_path / "f")
    assert sorted(path[-9:-4] for path in train.paths) == [f"{n:05d}" for n in range(1, 7)]
    assert sorted(path[-9:-4] for path in val.paths) == [f"{n:05d}" for n in range(7, 13)]


def only_the_lock_is_left(folder, name):
    left = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return left == {".downloads", f".downloads/{name}"}


def test_a_wrong_checksum_keeps_nothing(archive, tmp_path):
    name, files, patch = archive
    for path in files.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with fake_archives.served(files) as (base, _):
        done = fetch(name, base, patch, tmp_path / "data" / name)
    assert_user_error(done, "does not have the right checksum", name)
    assert only_the_lock_is_left(tmp_path / "data", name)


def test_without_a_network_it_says_what_to_put_where(archive, tmp_path):
    name, files, patch = archive
    output = tmp_path / "data" / name
    done = fetch(name, CLOSED, patch, output)
    downloads = output.parent / ".downloads" / name
    assert_user_error(done, "Connection refused", f"into {downloads} by hand")
    for path in files.iterdir():
        assert path.name in done.stderr
    assert only_the_lock_is_left(output.parent, name)

    for path in files.iterdir():  # put there by hand, they are all that is needed
        path.rename(downloads / path.name)
    assert_success(fetch(name, CLOSED, patch, output))
    assert len(folder.index_data(output)[0]) == EXPECTED[name][1]


def test_a_damaged_file_that_was_put_there_is_named_and_left(tmp_path):
    (tmp_path / "files").mkdir()
    patch = fake_archives.write_cifar10(tmp_path / "files")
    damaged = tmp_path / ".downloads" / "cifar10" / "cifar-10-python.tar.gz"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half of it")
    done = fetch("cifar10", CLOSED, patch, tmp_path / "cifar10")
    assert_user_error(done, str(damaged), "its MD5 is not")
    assert damaged.read_bytes() == b"half of it"


def test_an_interrupted_layout_is_made_from_what_was_downloaded(tmp_path):
    (tmp_path / "files").mkdir()
    patch = fake_archives.write_imagenette(tmp_path / "files")
    output = tmp_path / "data" / "imagenette"
    fails = "from pathlib import Path\ndef fail(*_): raise OSError(28, 'No space left')\n"
    with fake_archives.served(tmp_path / "files") as (base, _):
        done = fetch("imagenette", base, patch + fails + "Path.rename = fail\n", output)
    assert_user_error(done, "imagenette cannot be written", "No space left")
    assert not output.exists() and not (output.parent / ".imagenette.partial").exists()
    assert_success(fetch("imagenette", CLOSED, patch, output))


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path):
    digest = fake_archives.write_tar(tmp_path / "x.tgz", {"../../evil.txt": b"x"}, "w:gz")
    patch = f"""
from torchvision.datasets import Imagenette
Imagenette._ARCHIVES = {{"320px": (BASE + "x.tgz", {digest!r})}}
"""
    with fake_archives.served(tmp_path) as (base, _):
        done = fetch("imagenette", base, patch, tmp_path / "a" / "b" / "imagenette")
    assert_user_error(done, "../../evil.txt", "refused")
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.fixture
def train(small_trees):
    """A function that runs train.py with another place for data sets."""

    def call(framework, data_dir, name, *options, **environment):
        change = f"""
import os
import pathlib
from common.data import public_data
public_data.DATA_DIR = pathlib.Path({str(data_dir)!r})
os.environ |= {environment}
"""
        words = ["--dataset", name, *TINY[2:], *options]  # but for the recipe
        return run_train_changed(framework, change, *words, tree=small_trees[framework])

    return call


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    """A data folder with a small CIFAR-10 in it."""
    path = tmp_path_factory.mktemp("public")
    patch = fake_archives.write_cifar10(path)
    with fake_archives.served(path) as (base, _):
        assert_success(fetch("cifar10", base, patch, path / "cifar10"))
    return path


def test_both_trees_train_on_it(framework, cifar10, tmp_path, train):
    run = tmp_path / "run"
    done = assert_success(train(framework, cifar10, "cifar10", "--output-dir", run))
    assert "data: 30 train, 6 val images" in done.stdout
    arguments = json.loads((run / "args.json").read_text())["arguments"]
    assert (arguments["dataset"], arguments["recipe"]) == ("cifar10", "cifar10")


def test_training_without_a_network_ends_in_one_line(framework, tmp_path, train):
    proxies = {"http_proxy": CLOSED, "https_proxy": CLOSED, "no_proxy": ""}
    options = ["flowers102", "--output-dir", tmp_path / "run"]
    done = train(framework, tmp_path / "data", *options, **proxies)
    assert_user_error(done, "102flowers.tgz and imagelabels.mat and setid.mat", "by hand")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_missing_torch_is_named(tmp_path, train):
    done = train("paddle", tmp_path, "cifar10", TORCH_PYTHON="/nowhere/python")
    assert_user_error(done, "TORCH_PYTHON=/nowhere/python: cannot be run")
    without = tmp_path / "python"
    without.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # no installed packages
    without.chmod(0o755)
    done = train("paddle", tmp_path, "cifar10", TORCH_PYTHON=str(without))
    assert_user_error(done, "needs torchvision")
