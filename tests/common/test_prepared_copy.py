"""The prepared copy: what it holds, when it is made again, and what it refuses."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.data import draws, prepared_copy
from common.data.folder import index_split
from common.data.image_files import read_rgb
from common.data.resizing import shorter_side
from common.data.uint8_images import Uint8Images, resize
from portproof.system.errors import UserError
from tests.support.helpers import assert_user_error, make_folder, run
from tests.support.odd_images import write_odd_images

SIZE = 73  # of the copies: for images of 64 pixels
SETTINGS = {  # of Uint8Images
    "image_size": 64,
    "resize_size": SIZE,
    "channels_last": True,
    "colour_noise": 0.0,
    "train_crop": "resized",
}


@pytest.fixture
def data(tmp_path):
    folder = make_folder(tmp_path / "data", classes=2, train=3, val=2)
    write_odd_images(folder / "train" / "odd")
    return folder


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache"


def open_train(data, place, size=SIZE):
    index = index_split(data, "train")
    return index, prepared_copy.open_split(index, place, size)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the images that are decoded to be copied, as they come."""
    names = []

    def read(path):
        names.append(Path(path).name)
        return read_rgb(path)

    monkeypatch.setattr(prepared_copy, "read_rgb", read)
    return names


def assert_holds(index, prepared):
    for number in range(len(index)):
        image = read_rgb(index.paths[number])
        right = np.asarray(shorter_side(image, SIZE))
        assert np.array_equal(prepared.pixels(number), right), index.paths[number]
        assert prepared.full_size(number) == image.size


def test_it_holds_every_image_small_and_is_made_once(data, place, decoded):
    index, prepared = open_train(data, place)
    assert_holds(index, prepared)
    assert sorted(decoded) == sorted(Path(path).name for path in index.paths)
    index, prepared = open_train(data, place)
    assert_holds(index, prepared)
    assert len(decoded) == len(index)
    assert prepared_copy.find_damage(prepared) is None
    assert not list(place.glob(".*partial"))


def test_a_run_without_some_images_uses_it_too(data, place, decoded):
    index, _ = open_train(data, place)
    before = len(decoded)
    fewer = type(index)(index.classes, index.paths[3:9], index.labels[3:9])
    assert_holds(fewer, prepared_copy.open_split(fewer, place, SIZE))
    assert len(decoded) == before


def test_what_has_changed_is_copied_anew_and_nothing_else(data, place, decoded):
    open_train(data, place)
    decoded.clear()
    changed, new = data / "train" / "bars" / "0.jpg", data / "train" / "bars" / "new.jpg"
    shutil.copy(data / "train" / "checks" / "2.jpg", changed)
    shutil.copy(data / "train" / "checks" / "2.jpg", new)
    (data / "train" / "odd" / "huge.jpg").unlink()
    index, prepared = open_train(data, place)
    assert sorted(decoded) == ["0.jpg", "new.jpg"]
    assert_holds(index, prepared)


def test_the_same_bytes_at_another_time_count_as_changed(data, place, decoded):
    open_train(data, place)
    decoded.clear()
    os.utime(data / "train" / "bars" / "0.jpg", (1, 1))
    open_train(data, place)
    assert decoded == ["0.jpg"]


def test_a_folder_that_has_moved_keeps_its_copy(data, place, decoded):
    open_train(data, place)
    decoded.clear()
    index, prepared = open_train(data.rename(data.parent / "moved"), place)
    assert_holds(index, prepared)
    assert not decoded


@pytest.mark.parametrize("file", [prepared_copy.PIXELS, prepared_copy.RECORDS, prepared_copy.KEYS])
@pytest.mark.parametrize("damage", ["shorter", "gone", "empty"])
def test_a_damaged_copy_is_refused(data, place, file, damage):
    open_train(data, place)
    path = place / "train" / file
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[: len(content) // 2] if damage == "shorter" else b"")
    with pytest.raises(UserError, match=r"the prepared copy is damaged .*; delete the folder"):
        open_train(data, place)


def test_records_that_point_outside_are_refused(data, place):
    open_train(data, place)
    records = np.load(place / "train" / prepared_copy.RECORDS)
    for name, value in (("offset", 1 << 40), ("offset", -1), ("height", -2), ("height", 1 << 30)):
        changed = records.copy()
        changed[name][2] = value
        np.save(place / "train" / prepared_copy.RECORDS, changed)
        with pytest.raises(UserError, match="the prepared copy is damaged"):
            open_train(data, place)


def test_changed_bytes_are_found_when_they_are_looked_for(data, place):
    _, prepared = open_train(data, place)
    with open(place / "train" / prepared_copy.PIXELS, "r+b") as file:
        file.seek(int(prepared.records["offset"][4]) + 7)
        file.write(bytes([prepared.pixels(4).ravel()[7] ^ 1]))
    assert prepared_copy.find_damage(open_train(data, place)[1]) == 4


def test_a_copy_of_too_small_images_is_refused_and_a_larger_one_is_not(data, place):
    open_train(data, place)
    with pytest.raises(UserError, match="its images have 73 pixels, and this run needs 256"):
        open_train(data, place, size=256)
    assert open_train(data, place, size=72)[1].size == SIZE


def test_a_disk_that_is_too_small_is_noticed_before(data, place, monkeypatch, decoded):
    free = SimpleNamespace(free=prepared_copy.RESERVE + 1000)
    monkeypatch.setattr(prepared_copy.shutil, "disk_usage", lambda path: free)
    with pytest.raises(UserError, match=r"needs 0\.0 GB, and 0\.1 GB are free"):
        open_train(data, place)
    assert not decoded and not (place / "train").exists()


def test_an_unreadable_image_is_left_out_and_named_where_it_is_needed(data, place, capsys):
    bad = data / "train" / "checks" / "1.jpg"
    bad.write_bytes(bad.read_bytes()[:2000])  # its header is whole
    (data / "train" / "checks" / "2.jpg").write_bytes(b"no image")
    index, prepared = open_train(data, place)
    assert capsys.readouterr().out.count("left out of the copy") == 2
    number = index.paths.index(str(bad))
    assert prepared.pixels(number) is None and prepared.pixels(number + 1) is None
    args = argparse.Namespace(seed=0, **SETTINGS)
    for train in (True, False):
        with pytest.raises(UserError, match=r"1\.jpg: cannot be read as an image"):
            Uint8Images(index, args, train, prepared).load(
                (0, number), np.empty((64, 64, 3), np.uint8)
            )
    assert open_train(data, place)[1].pixels(0) is not None  # and that is no reason to start anew
    assert not capsys.readouterr().out


def test_training_cuts_the_box_that_is_drawn_for_the_file(data, place):
    index, prepared = open_train(data, place)
    args = argparse.Namespace(seed=3, **SETTINGS)
    dataset = Uint8Images(index, args, True, prepared)
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
        found = np.empty((64, 64, 3), np.uint8)
        assert dataset.load((1, number), found) == index.labels[number]
        assert np.array_equal(found, pixels), index.paths[number]


def test_any_failure_leaves_nothing_half_written(data, place, monkeypatch):
    monkeypatch.setattr(prepared_copy, "shorter_side", lambda image, size: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_train(data, place)
    assert [path.name for path in place.iterdir()] == [".train.lock"]
    monkeypatch.undo()
    assert_holds(*open_train(data, place))


def test_a_call_that_is_killed_leaves_no_copy_and_the_next_one_makes_it(data, place):
    shutil.rmtree(data / "train" / "odd")
    program = (
        "import time; from common.data import prepared_copy as cache; "
        "cache.shorter_side = lambda *_: time.sleep(60); cache.main()"
    )
    command = [sys.executable, "-c", program, data, "--output", place, "--size", str(SIZE)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        partial = place / ".train.partial" / prepared_copy.PIXELS
        deadline = time.monotonic() + 60
        while not partial.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert partial.exists() and not (place / "train").exists()
    assert_holds(*open_train(data, place))
    assert not partial.parent.exists()


def test_the_command(data, place):
    command = [sys.executable, "-m", "common.data.prepared_copy"]
    done = run(*command, data, "--output", place, "--size", SIZE, "--check")
    assert_user_error(done, "must have the same classes")  # val lacks the odd ones
    shutil.copytree(data / "train" / "odd", data / "val" / "odd")
    done = run(*command, data, "--output", place, "--size", SIZE, "--check")
    assert done.returncode == 0, done.stderr
    assert f"prepared: {place}/train (" in done.stdout and f"{place}/val (" in done.stdout
    (place / "val" / prepared_copy.KEYS).write_bytes(b"")
    assert_user_error(run(*command, data, "--output", place, "--size", SIZE), "is damaged")
    assert_user_error(run(*command, data / "nowhere"), "there is no such folder")
    (place / "other").touch()
    assert_user_error(run(*command, data, "--output", place / "other"), "cannot be written")
