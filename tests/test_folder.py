import shutil

import pytest

from common.errors import UserError
from common.folder import index_data
from tests.helpers import make_folder


@pytest.fixture
def data(tmp_path, small_folder):
    return shutil.copytree(small_folder, tmp_path / "data")


def test_classes_and_files_are_sorted_by_name(tmp_path):
    train, val = index_data(make_folder(tmp_path / "data", classes=3, train=2, val=1))
    assert train.classes == val.classes == ["bars", "checks", "cross"]
    assert train.labels == [0, 0, 1, 1, 2, 2]
    assert [path.split("/")[-2:] for path in train.paths[:3]] == [
        ["bars", "0.jpg"],
        ["bars", "1.jpg"],
        ["checks", "0.jpg"],
    ]


def test_files_of_the_system_are_no_pictures(data):
    before = index_data(data)
    (data / "train" / ".DS_Store").write_bytes(b"x")
    (data / "train" / "cross" / ".hidden").write_bytes(b"x")
    (data / "train" / "cross" / "Thumbs.db").write_bytes(b"x")
    assert index_data(data) == before


def test_train_may_be_missing_where_only_val_is_needed(data):
    shutil.rmtree(data / "train")
    train, val = index_data(data, need_train=False)
    assert train is None and len(val) == 12


def spoil(data, fault):
    cross = data / "train" / "cross"
    if fault == "no val":
        shutil.rmtree(data / "val")
    elif fault == "no classes":
        shutil.rmtree(data / "train")
        (data / "train").mkdir()
    elif fault == "empty class":
        for path in cross.iterdir():
            path.unlink()
    elif fault == "other classes":
        (data / "val" / "cross").rename(data / "val" / "crown")
    elif fault == "zero bytes":
        (cross / "0.jpg").write_bytes(b"")
    elif fault == "no picture":
        (cross / "notes.txt").write_text("hello")
    elif fault == "folder in a class":
        (cross / "more").mkdir()
    elif fault == "dangling link":
        (cross / "gone.jpg").symlink_to(data / "nowhere.jpg")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no val", ["val: there is no such folder"]),
        ("no classes", ["train: no pictures"]),
        ("empty class", ["train/cross: a class with no pictures"]),
        ("other classes", ["val lacks cross", "train lacks crown"]),
        ("zero bytes", ["train/cross/0.jpg", "empty"]),
        ("no picture", ["train/cross/notes.txt", "not a picture"]),
        ("folder in a class", ["train/cross/more", "a folder within a class"]),
        ("dangling link", ["train/cross/gone.jpg", "cannot be read"]),
    ],
)
def test_a_fault_is_named_with_its_place(data, fault, words):
    spoil(data, fault)
    with pytest.raises(UserError) as caught:
        index_data(data)
    for word in words:
        assert word in str(caught.value)
