import copy
import gc
import os
import pickle
import shutil
import subprocess
from array import array

import pytest

from common.data.folder import Paths, index_data
from portproof.system.errors import UserError
from tests.support.helpers import make_folder


def test_classes_and_files_are_sorted_by_name(tmp_path):
    images = make_folder(tmp_path / "images", classes=3, train=2, val=1)
    train, val = index_data(images)
    assert train.classes == val.classes == ["bars", "checks", "cross"]
    assert list(train.labels) == [0, 0, 1, 1, 2, 2]
    names = ["bars/0.jpg", "bars/1.jpg", "checks/0.jpg"]
    assert train.paths[:3] == [f"{images}/train/{name}" for name in names]


def test_files_of_the_system_are_no_images(images):
    before = index_data(images)
    (images / "train" / ".DS_Store").write_bytes(b"x")
    (images / "train" / "cross" / ".hidden").write_bytes(b"x")
    (images / "train" / "cross" / "Thumbs.db").write_bytes(b"x")
    assert index_data(images) == before


def test_train_may_be_missing_where_only_val_is_needed(images):
    shutil.rmtree(images / "train")
    train, val = index_data(images, need_train=False)
    assert train is None and len(val) == 12


FAULTS = {  # a command in the folder, and what is said of it
    "no val": ("rm -r val", "val: there is no such folder"),
    "no classes": ("rm -r train/*", "train: no images"),
    "empty class": ("rm train/cross/*", "train/cross: a class with no images"),
    "other classes": ("mv val/cross val/crown", "val lacks cross.*train lacks crown"),
    "zero bytes": (": > train/cross/0.jpg", "train/cross/0.jpg.*empty"),
    "no image": ("echo hello > train/cross/notes.txt", "train/cross/notes.txt.*not an image"),
    "folder in a class": ("mkdir train/cross/more", "train/cross/more.*a folder within a class"),
    "dangling link": ("ln -s gone train/cross/a.jpg", "train/cross/a.jpg.*cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_path(images, fault):
    command, message = FAULTS[fault]
    subprocess.run(command, shell=True, cwd=images, check=True)
    with pytest.raises(UserError, match=message):
        index_data(images)


ODD = ["/a b/1.jpg", "/a b/1\n2.jpg", "/a b/\udcff.jpg", "/c/图.jpg"]
ODD += ["/a b/-rf.jpg", "/c/", "x.jpg"]


def test_paths_are_a_list_of_strings_to_their_reader():
    paths = Paths(ODD)
    assert paths == ODD and sorted(paths) == sorted(ODD)
    assert len(paths) == len(ODD) and not Paths()
    assert paths[-1] == "x.jpg" and paths[1:4] == ODD[1:4] and paths[::-2] == ODD[::-2]
    assert "/c/图.jpg" in paths and "/a b/图.jpg" not in paths
    assert paths != ODD[:-1] and paths != ODD[::-1] and paths != Paths(ODD[:-1]) and paths != 7
    assert pickle.loads(pickle.dumps(paths)) == paths
    for beyond in (len(ODD), -len(ODD) - 1):
        with pytest.raises(IndexError):
            paths[beyond]


def test_paths_that_are_added_later_stand_behind_the_first():
    paths = Paths(ODD[:2])
    before = copy.deepcopy(paths)
    paths.extend(ODD[2:])
    assert paths == ODD and before == ODD[:2]


def objects_within(root):
    """Return how many objects of Python one holds, itself included."""
    objects, waiting = {}, [root]
    while waiting:
        current = waiting.pop()
        if id(current) not in objects and not isinstance(current, type):
            objects[id(current)] = current
            waiting += gc.get_referents(current)
    return len(objects)


def test_more_images_take_no_more_objects(tmp_path):
    small, _ = index_data(make_folder(tmp_path / "small", classes=2, train=1, val=1))
    for name in small.classes:
        folder = tmp_path / "small" / "train" / name
        for number in range(200):
            os.link(folder / "0.jpg", folder / f"more-{number}.jpg")
    large, _ = index_data(tmp_path / "small")
    assert isinstance(large.paths, Paths) and isinstance(large.labels, array)
    assert large.labels.itemsize == 4 and type(large.labels[300]) is int
    assert (len(small), len(large)) == (2, 402)
    # a number a folder says where it begins; images themselves add nothing
    assert objects_within(large) == objects_within(small)


def test_the_first_fault_by_name_is_named_whatever_the_order_on_the_disk(images):
    cross = images / "train" / "cross"
    for name in ("z.txt", "a.txt", "m.txt"):
        (cross / name).write_text("hello")
    with pytest.raises(UserError, match=r"cross/a\.txt"):
        index_data(images)
