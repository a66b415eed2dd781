"""The prepared copy: what it holds, when it is made again, and what it refuses."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.data import draws, prepared_copy
from common.data.folder import index_split
from common.data.resizing import shorter_side
from common.data.uint8_images import Uint8Images, resize
from portproof.files.images import read_rgb
from portproof.system.errors import UserError
from tests.support.helpers import assert_success, assert_user_error, run, start, wait_until

SIZE = 73  # of the copies: for images of 64 pixels
SETTINGS = {"image_size": 64, "resize_size": SIZE, "channels_last": True}  # of Uint8Images
SETTINGS |= {"colour_noise": 0.0, "train_crop": "resized"}


@pytest.fixture
def images(odd_folder, tmp_path):
    return shutil.copytree(odd_folder, tmp_path / "images")


@pytest.fixture
def copies(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def open_train(images, copies):
    """A function that returns the index of train and its prepared copy."""

    def call(size=SIZE):
        index = index_split(images, "train")
        return index, prepared_copy.open_split(index, copies, size)

    return call


@pytest.fixture
def decoded(monkeypatch):
    """The names of the images that are decoded to be copied, as they come."""
    names = []

    def read(path):
        names.append(Path(path).name)
        return read_rgb(path)

    monkeypatch.setattr(prepared_copy, "read_rgb", read)
    return names


@pytest.fixture
def reopen(open_train, decoded):
    """The same after a first call: the copy is there, and nothing is decoded since."""
    open_train()
    decoded.clear()
    return open_train


def load(dataset, epoch, number):
    """Return the label and the image of a sample."""
    image = np.empty((64, 64, 3), np.uint8)
    return dataset.load((epoch, number), image), image


def assert_holds(index, prepared):
    for number in range(len(index)):
        image = read_rgb(index.paths[number])
        right = np.asarray(shorter_side(image, SIZE))
        assert np.array_equal(prepared.pixels(number), right), index.paths[number]
        assert prepared.full_size(number) == image.size


def test_it_holds_every_image_small_and_is_made_once(open_train, copies, decoded):
    index, prepared = open_train()
    assert_holds(index, prepared)
    assert sorted(decoded) == sorted(Path(path).name for path in index.paths)
    assert_holds(*open_train())
    assert len(decoded) == len(index)
    assert prepared_copy.find_damage(prepared) is None
    assert not list(copies.glob(".*partial"))


def test_a_run_without_some_images_uses_it_too(open_train, copies, decoded):
    index, _ = open_train()
    before = len(decoded)
    fewer = type(index)(index.classes, index.paths[3:9], index.labels[3:9])
    assert_holds(fewer, prepared_copy.open_split(fewer, copies, SIZE))
    assert len(decoded) == before


def test_what_has_changed_is_copied_anew_and_nothing_else(reopen, images, decoded):
    for name in ("0.jpg", "new.jpg"):
        shutil.copy(images / "train" / "checks" / "2.jpg", images / "train" / "bars" / name)
    (images / "train" / "odd" / "huge.jpg").unlink()
    assert_holds(*reopen())
    assert sorted(decoded) == ["0.jpg", "new.jpg"]


def test_the_same_bytes_at_another_time_count_as_changed(reopen, images, decoded):
    os.utime(images / "train" / "bars" / "0.jpg", (1, 1))
    reopen()
    assert decoded == ["0.jpg"]


def test_a_folder_that_has_moved_keeps_its_copy(reopen, images, copies, decoded):
    index = index_split(images.rename(images.parent / "moved"), "train")
    assert_holds(index, prepared_copy.open_split(index, copies, SIZE))
    assert not decoded


@pytest.mark.parametrize("file", [prepared_copy.PIXELS, prepared_copy.RECORDS, prepared_copy.KEYS])
@pytest.mark.parametrize("damage", ["shorter", "gone", "empty"])
def test_a_damaged_copy_is_refused(reopen, copies, file, damage):
    path = copies / "train" / file
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[: len(content) // 2] if damage == "shorter" else b"")
    with pytest.raises(UserError, match=r"the prepared copy is damaged .*; delete the folder"):
        reopen()


def test_records_that_point_outside_are_refused(reopen, copies):
    records = np.load(copies / "train" / prepared_copy.RECORDS)
    for name, number in (("offset", 1 << 40), ("offset", -1), ("height", -2), ("height", 1 << 30)):
        changed = records.copy()
        changed[name][2] = number
        np.save(copies / "train" / prepared_copy.RECORDS, changed)
        with pytest.raises(UserError, match="the prepared copy is damaged"):
            reopen()


def test_changed_bytes_are_found_when_they_are_looked_for(open_train, copies):
    _, prepared = open_train()
    with open(copies / "train" / prepared_copy.PIXELS, "r+b") as file:
        file.seek(int(prepared.records["offset"][4]) + 7)
        file.write(bytes([prepared.pixels(4).ravel()[7] ^ 1]))
    assert prepared_copy.find_damage(open_train()[1]) == 4


def test_a_copy_of_too_small_images_is_refused_and_a_larger_one_is_not(reopen, images):
    with pytest.raises(UserError, match="its images have 73 pixels, and this run needs 256"):
        reopen(size=256)
    assert reopen(size=72)[1].size == SIZE


def test_a_disk_that_is_too_small_is_noticed_before(open_train, copies, monkeypatch, decoded):
    free = SimpleNamespace(free=prepared_copy.RESERVE + 1000)
    monkeypatch.setattr(prepared_copy.shutil, "disk_usage", lambda path: free)
    with pytest.raises(UserError, match=r"needs 0\.0 GB, and 0\.1 GB are free"):
        open_train()
    assert not decoded and not (copies / "train").exists()


def test_an_unreadable_image_is_left_out_and_named_where_it_is_needed(
    open_train, images, copies, capsys
):
    bad = images / "train" / "checks" / "1.jpg"
    bad.write_bytes(bad.read_bytes()[:2000])  # its header is whole
    (images / "train" / "checks" / "2.jpg").write_bytes(b"no image")
    index, prepared = open_train()
    assert capsys.readouterr().out.count("left out of the copy") == 2
    number = index.paths.index(str(bad))
    assert prepared.pixels(number) is None and prepared.pixels(number + 1) is None
    args = argparse.Namespace(seed=0, cache=copies, **SETTINGS)
    for train in (True, False):
        with pytest.raises(UserError, match=r"1\.jpg: cannot be read as an image"):
            load(Uint8Images(index, args, train), 0, number)
    assert open_train()[1].pixels(0) is not None  # and that is no reason to start anew
    assert not capsys.readouterr().out


def test_training_cuts_the_box_that_is_drawn_for_the_file(open_train, copies):
    index, _ = open_train()
    args = argparse.Namespace(seed=3, cache=copies, **SETTINGS)
    dataset = Uint8Images(index, args, True)
    for number in range(len(index)):
        image = read_rgb(index.paths[number])
        crop = draws.random_crop(3, 1, number, image.size)
        small = np.asarray(shorter_side(image, SIZE))
        by_height, by_width = small.shape[0] / image.height, small.shape[1] / image.width
        top, left = round(crop.top * by_height), round(crop.left * by_width)
        bottom = round((crop.top + crop.height) * by_height)
        right = round((crop.left + crop.width) * by_width)
        pixels = resize(small[top : max(bottom, 1), left : max(right, 1)], 64)
        pixels = pixels[:, ::-1] if draws.flip(3, 1, number) else pixels
        label, image = load(dataset, 1, number)
        assert label == index.labels[number]
        assert np.array_equal(image, pixels), index.paths[number]


def test_any_failure_leaves_nothing_half_written(open_train, copies, monkeypatch):
    monkeypatch.setattr(prepared_copy, "shorter_side", lambda image, size: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_train()
    assert [path.name for path in copies.iterdir()] == []
    monkeypatch.undo()
    assert_holds(*open_train())


def test_a_call_that_is_killed_leaves_no_copy_and_the_next_one_makes_it(open_train, images, copies):
    for split in ("train", "val"):
        shutil.rmtree(images / split / "odd")
    program = "import time; from common.data import prepared_copy as cache; "
    program += "cache.shorter_side = lambda *_: time.sleep(60); cache.main()"
    command = [sys.executable, "-c", program, images, "--output", copies, "--size", SIZE]
    with start(*command, stdout=subprocess.DEVNULL) as process:
        partial = copies / ".train.partial" / prepared_copy.PIXELS
        wait_until(partial.exists, process)
        process.send_signal(signal.SIGKILL)
    assert partial.exists() and not (copies / "train").exists()
    assert_holds(*open_train())
    assert not partial.parent.exists()


def test_the_command(images, copies):
    def command(folder, output, *options):
        words = [folder, "--output", output, "--size", SIZE, *options]
        return run(sys.executable, "-m", "common.data.prepared_copy", *words)

    odd = (images / "val" / "odd").rename(images.parent / "odd")
    assert_user_error(command(images, copies, "--check"), "must have the same classes")
    odd.rename(images / "val" / "odd")
    done = assert_success(command(images, copies, "--check"))
    assert f"prepared: {copies}/train (" in done.stdout and f"{copies}/val (" in done.stdout
    (copies / "val" / prepared_copy.KEYS).write_bytes(b"")
    assert_user_error(command(images, copies), "is damaged")
    assert_user_error(command(images / "nowhere", copies), "there is no such folder")
    (copies / "other").touch()
    assert_user_error(command(images, copies / "other"), "cannot be written")
