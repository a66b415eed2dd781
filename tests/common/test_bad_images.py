"""Bad images are found before training, left out up to a number, and named with their reason."""

import json
import os
import shutil
import struct
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import image_files, verify
from common.data.folder import index_data
from common.training.run_folder import read_metrics
from portproof.system.errors import UserError, show
from tests.support.helpers import assert_success, assert_user_error
from tests.support.trees import TINY, run_train_changed


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(verify, "CACHE_DIR", tmp_path / "cache")
    return tmp_path / "cache" / "verified"


@pytest.fixture
def train(small_trees, tmp_path):
    """A function that runs train.py with a cache of its own, after a change of Python text."""
    cache = f"""
import pathlib
from common.data import verify
verify.CACHE_DIR = pathlib.Path({str(tmp_path / "cache")!r})
"""

    def call(framework, images, *options, change=""):
        words = [*TINY, "--data-path", images, "--output-dir", tmp_path / "run", *options]
        return run_train_changed(framework, cache + change, *words, tree=small_trees[framework])

    return call


def png(width, height, pixels=b""):
    """Return a PNG file that claims a size, with whatever pixels."""

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")):
        file += struct.pack(">I", len(body)) + kind + body
        file += struct.pack(">I", zlib.crc32(kind + body))
    return file


# What is put in the place of an image, or what puts it there; and the reason that is given.
KINDS = {
    "truncated": (None, "truncated"),
    "damaged header": (b"\xff\xd8\xff\xdb\x00\x43" + b"\xff" * 200, "not an image"),
    "zero bytes": (b"", "empty (0 bytes)"),
    "web page": (b"<html>404 Not Found</html>", "not an image"),
    "bomb": (png(60_000, 60_000), "decompression bomb"),
    "too little data": (png(500, 500, b"\x00" * 100), "truncated"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
    "folder": (Path.mkdir, "not a file"),
    "pipe": (os.mkfifo, "not a file"),
    "dangling link": (lambda path: path.symlink_to("nowhere.jpg"), "No such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
}


def spoil(path, kind):
    """Put a bad image of one kind at `path`."""
    content, half = KINDS[kind][0], path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    if callable(content):
        content(path)
    else:
        path.write_bytes(half if content is None else content)


def leave_out(images, most, **options):
    """Return the indices of train and val without their bad images."""
    return verify.leave_out_bad(*index_data(images, strict=False, **options), most=most)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_with_its_reason(images, kind, capsys):
    bad = images / "train" / "checks" / "2.jpg"
    spoil(bad, kind)
    train, val = leave_out(images, most=1)
    assert [image.path for image in train.bad] == [str(bad)] and not val.bad
    assert KINDS[kind][1] in train.bad[0].reason
    assert str(bad) not in train.paths and len(train) == len(train.labels) == 17
    assert f"bad image: {bad}: " in capsys.readouterr().out


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"pipe"}))
def test_by_default_the_index_or_the_reader_refuses_it(images, kind):
    bad = images / "train" / "checks" / "2.jpg"
    spoil(bad, kind)
    with pytest.raises(UserError) as caught:
        index_data(images)
        image_files.read_rgb(bad)
    assert str(bad) in str(caught.value) and "\n" not in str(caught.value)


def test_another_ending_than_the_contents_have_is_no_fault(images):
    """As in ImageNet, whose n02105855_2933.JPEG is a PNG."""
    image = images / "train" / "checks" / "2.jpg"
    Image.open(image).save(image, "PNG")
    assert len(leave_out(images, most=0)[0]) == 18


def test_only_what_changed_is_decoded_again(images, cache, monkeypatch):
    decoded = []

    def find_fault(path):
        decoded.append(path)
        return image_files.find_fault(path)

    monkeypatch.setattr(verify, "find_fault", find_fault)
    bad, changed = images / "train" / "bars" / "0.jpg", images / "train" / "cross" / "5.jpg"
    spoil(bad, "web page")
    train, _ = index_data(images, strict=False)
    first = verify.check_split(train)
    assert sorted(decoded) == train.paths
    decoded.clear()
    os.utime(changed, ns=(1, 1))
    assert verify.check_split(train) == first
    assert sorted(decoded) == [str(bad), str(changed)]  # a bad one may have been mended
    decoded.clear()
    for file in cache.glob("*.npy"):
        file.write_bytes(b"no cache")
    assert verify.check_split(train) == first
    assert len(decoded) == len(train)


def test_a_cache_that_is_interrupted_stays_as_it_was(images, cache, monkeypatch):
    train, _ = index_data(images, strict=False)
    verify.check_split(train)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}

    def save(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    os.utime(train.paths[0], ns=(1, 1))
    monkeypatch.setattr(np, "save", save)
    with pytest.raises(UserError, match="No space left"):
        verify.check_split(train)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before


EMPTY = [("val/cross/*", 99, "val/cross: all images of this class are bad")]
EMPTY += [("train/*/*", 17, "18 bad images are more than --skip-bad 17")]
EMPTY += [("train/*/*", 18, "train/bars: all images of this class are bad")]


@pytest.mark.parametrize(("files", "most", "message"), EMPTY)
def test_a_class_with_nothing_left_is_named(images, files, most, message):
    for path in images.glob(files):
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match=message):
        leave_out(images, most)


def test_evaluation_alone_needs_no_train(images, capsys):
    shutil.rmtree(images / "train")
    spoil(images / "val" / "bars" / "0.jpg", "truncated")
    train, val = leave_out(images, most=1, need_train=False)
    assert train is None and len(val) == 11 and len(val.bad) == 1
    assert "left out: 1 bad image\n" in capsys.readouterr().out


NAMES = ["two  spaces .jpg", "line\nbreak.jpg", "图片.jpg", "-rf.jpg", b"byte\xff.jpg"]


@pytest.mark.parametrize("name", [*NAMES, "<script>.jpg"])
def test_odd_names_are_read_and_named_on_one_line(images, name):
    folder = images / "train" / "checks"
    path = folder / os.fsdecode(name)
    (folder / "2.jpg").rename(path)
    assert str(path) in leave_out(images, most=0)[0].paths
    spoil(path, "web page")
    with pytest.raises(UserError) as caught:
        image_files.read_rgb(path)
    assert show(path) in str(caught.value) and "\n" not in str(caught.value)
    assert show(path).isprintable()


def test_what_is_left_out_is_the_same_in_both_trees(images, tmp_path, train):
    bad = [images / name for name in ["train/checks/line\nbreak\udcff.jpg", "val/bars/0.jpg"]]
    (images / "train" / "checks" / "2.jpg").rename(bad[0])
    spoil(bad[0], "truncated")
    spoil(bad[1], "zero bytes")
    recorded = []
    for framework, workers in (("torch", 0), ("torch", 2), ("paddle", 2)):
        out = tmp_path / f"{framework}-{workers}"
        options = ["--skip-bad", 2, "--workers", workers, "--output-dir", out]
        done = assert_success(train(framework, images, *options))
        assert "left out: 2 bad images" in done.stdout
        assert "data: 17 train, 11 val images" in done.stdout
        recorded.append((out / "bad_pictures.jsonl").read_bytes())
        rows = [json.loads(line) for line in recorded[-1].splitlines()]
        assert [row["path"] for row in rows] == [str(path) for path in bad]
        assert all(row["reason"] for row in rows)
    assert recorded[0] == recorded[1] == recorded[2]
    assert len({read_metrics(tmp_path / f"torch-{n}")[0]["train_loss"] for n in (0, 2)}) == 1


def test_one_more_than_allowed_ends_the_run(framework, images, tmp_path, train):
    bad = [images / "train" / "checks" / "1.jpg", images / "val" / "cross" / "1.jpg"]
    for path in bad:
        spoil(path, "truncated")
    done = train(framework, images, "--skip-bad", 1)
    assert_user_error(done, "2 bad images are more than --skip-bad 1", str(bad[0]))
    assert all(f"bad image: {path}: " in done.stdout for path in bad)
    done = train(framework, images, "--verify-data")
    assert_user_error(done, "2 bad images", "--skip-bad 2")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_vanishes_is_named(framework, workers, images, train):
    change = """
import os
from common.data import folder
whole = folder.index_data
def index_data(*arguments, **named):
    indices = whole(*arguments, **named)
    os.unlink(indices[0].paths[3])
    return indices
folder.index_data = index_data
"""
    done = train(framework, images, "--workers", workers, change=change)
    assert_user_error(done, str(images / "train" / "bars" / "3.jpg"), "No such file")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("circle", "train/circle: cannot be read"),
        ("..", "a folder within a class"),  # the folder above, and with it the link itself
    ],
)
def test_links_in_a_circle_are_named(images, target, message):
    (images / "train" / "circle").symlink_to(target)
    with pytest.raises(UserError, match=message):
        index_data(images)


@contextmanager
def nobody():
    """Within, this process reads files as a user without rights does."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("hidden", ["val", "train/cross", "train/cross/1.jpg"])
def test_what_may_not_be_read_is_named(small_folder, hidden, cache):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        images = shutil.copytree(small_folder, Path(folder) / "images")
        for path in [images, *images.rglob("*")]:
            path.chmod(0o755)
        (images / hidden).chmod(0)
        try:
            with nobody(), pytest.raises(UserError) as caught:
                image_files.read_rgb(index_data(images)[0].paths[-5])
        finally:
            (images / hidden).chmod(0o755)
    assert str(images / hidden) in str(caught.value)
    assert "Permission denied" in str(caught.value)
