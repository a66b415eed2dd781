"""scripts/prepare_imagenet.py on small archives of the official structure."""

import io
import os
import shutil
import sys
import tarfile

import numpy as np
import pytest

from common.data import folder
from common.paths import ROOT
from tests.support.fake_archives import image, mat, write_tar
from tests.support.helpers import assert_success, assert_user_error, run

SCRIPT = ROOT / "scripts" / "prepare_imagenet.py"
WNIDS = ["n01440764", "n01443537", "n02119789"]
TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
TRUTH = [3, 1, 2, 2, 1, 3]  # ILSVRC2012_ID of each validation image


def as_tar(*entries):
    """Return a tar of (TarInfo or name, contents)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for entry, contents in entries:
            entry = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            entry.size = len(contents)
            tar.addfile(entry, io.BytesIO(contents))
    return file.getvalue()


def devkit_files():
    names = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")
    rows = [(n + 1, wnid, f"word {n}", "text", 0) for n, wnid in enumerate(WNIDS)]
    rows.append((4, "n00001740", "entity", "text", 3))  # a node above the classes
    synsets = np.array(rows, dtype=[(name, "O") for name in names])
    truth = "".join(f"{number}\n" for number in TRUTH).encode()
    files = {"data/meta.mat": mat(synsets=synsets), "readme.txt": b"hello"}
    files["data/ILSVRC2012_validation_ground_truth.txt"] = truth
    return {f"ILSVRC2012_devkit_t12/{name}": content for name, content in files.items()}


@pytest.fixture
def archives(tmp_path):
    path = tmp_path / "archives"
    path.mkdir()
    classes = {}
    for c, wnid in enumerate(WNIDS):
        images = ((f"{wnid}_{n}.JPEG", image(10 * c + n)) for n in range(4))
        classes[f"{wnid}.tar"] = as_tar(*images)
    # In another order than that of their numbers.
    val = {f"ILSVRC2012_val_{n:08d}.JPEG": image(100 + n) for n in (4, 1, 6, 2, 3, 5)}
    write_tar(path / TRAIN, classes)
    write_tar(path / VAL, val)
    write_tar(path / DEVKIT, devkit_files(), "w:gz")
    write_sums(path)
    return path


def write_sums(archives):
    """Write, as the checksums that are expected, those of the archives as they are."""
    done = run("md5sum", *(archives / name for name in (TRAIN, VAL, DEVKIT)))
    (archives / "md5").write_text(done.stdout)


def prepare(archives, output, *options):
    sums = ["--md5", archives / "md5", "--pictures", 12, 6]
    return run(sys.executable, SCRIPT, archives, output, *sums, *options)


def test_images_come_to_their_classes(archives, tmp_path):
    done = prepare(archives, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    train, val = folder.index_data(tmp_path / "out")
    assert train.classes == WNIDS
    assert (len(train), len(val)) == (12, 6)
    for number, truth in enumerate(TRUTH, 1):
        written = tmp_path / "out" / "val" / WNIDS[truth - 1] / f"ILSVRC2012_val_{number:08d}.JPEG"
        assert written.read_bytes() == image(100 + number)
    assert (tmp_path / "out/train/n01443537/n01443537_2.JPEG").read_bytes() == image(12)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"train", "val"}


def test_a_call_that_was_interrupted_goes_on(archives, tmp_path):
    output = tmp_path / "out"
    half = archives / "half"
    shutil.copytree(archives, half)
    (half / VAL).write_bytes(b"")  # seen only when train is laid out
    write_sums(half)
    assert_user_error(prepare(half, output), VAL)
    assert not (output / "train").exists()
    grown = output / ".partial" / "train" / WNIDS[0]
    assert len(list(grown.iterdir())) == 4
    cut = grown / f"{WNIDS[0]}_1.JPEG"
    cut.write_bytes(b"half")
    before = os.stat(grown / f"{WNIDS[0]}_0.JPEG").st_ino
    assert prepare(archives, output).returncode == 0
    assert os.stat(output / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").st_ino == before
    assert (output / "train" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG").read_bytes() == image(1)
    assert prepare(archives, output).returncode == 0  # whole: nothing to do


def test_a_missing_or_damaged_archive_is_named(archives, tmp_path):
    (archives / VAL).write_bytes((archives / VAL).read_bytes()[:-1] + b"x")
    assert_user_error(prepare(archives, tmp_path / "out"), VAL, "its MD5 is")
    (archives / DEVKIT).unlink()
    assert_user_error(prepare(archives, tmp_path / "out"), str(archives), "MD5")
    (archives / TRAIN).unlink()
    assert_user_error(prepare(archives, tmp_path / "out"), TRAIN, "no such file")
    assert not (tmp_path / "out" / "train").exists()


def test_the_official_checksums_are_the_default(archives, tmp_path):
    done = run(sys.executable, SCRIPT, archives, tmp_path / "out")
    assert_user_error(done, TRAIN, "not 1d675b47d978889d74fa0da5fadfb00e")


def test_another_number_of_images_is_refused(archives, tmp_path):
    done = prepare(archives, tmp_path / "out", "--pictures", 13, 6)
    assert_user_error(done, TRAIN, "holds 12 images and not 13")
    done = prepare(archives, tmp_path / "out", "--pictures", 12, 7)
    assert_user_error(done, VAL, "holds 6 images and not 7")
    assert not (tmp_path / "out" / "train").exists()


@pytest.mark.parametrize("name", ["../../evil.JPEG", "{elsewhere}/evil.JPEG", "link"])
@pytest.mark.parametrize("place", ["outer", "inner"])
def test_names_that_lead_out_are_refused(archives, tmp_path, name, place):
    name = name.format(elsewhere=tmp_path)
    entry, contents = tarfile.TarInfo(name), b"evil"
    if name == "link":
        entry.type, entry.linkname, contents = tarfile.SYMTYPE, "../../..", b""
    tar = as_tar((entry, contents))
    if place == "outer":
        (archives / TRAIN).write_bytes(tar)
    else:
        write_tar(archives / TRAIN, {f"{WNIDS[0]}.tar": tar})
    write_sums(archives)
    assert_user_error(prepare(archives, tmp_path / "a" / "out"), "refused", name)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("name", ["...tar", "notes.tar"])
def test_a_class_that_is_no_wordnet_id_is_refused(archives, tmp_path, name):
    write_tar(archives / TRAIN, {name: as_tar(("evil.JPEG", b"evil"))})
    write_sums(archives)
    assert_user_error(prepare(archives, tmp_path / "out"), "refused", name[:-4])
    assert not list(tmp_path.rglob("evil*"))


def test_the_shell_script_hands_its_options_on(archives, tmp_path):
    """In a clone whose set-up does nothing."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "scripts", clone / "scripts")
    (clone / "scripts" / "setup.sh").write_text("exit 0\n")
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (clone / ".venv" / "bin" / "python").chmod(0o755)
    script = clone / "scripts" / "prepare_imagenet.sh"
    options = ["--md5", archives / "md5", "--pictures", 12, 6]
    assert_success(run("bash", script, archives, tmp_path / "out", *options))
    assert len(list((tmp_path / "out").glob("val/*/*.JPEG"))) == 6
