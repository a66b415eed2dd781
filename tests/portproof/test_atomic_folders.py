"""A folder is made whole, once, by whoever comes first."""

import threading
import time

import pytest

from portproof.system import atomic_folders

IS = {"version": 1}


def test_two_at_once_make_it_once(tmp_path):
    """The lock belongs to an open file, so two threads stand for two processes."""
    calls, entered = [], threading.Event()

    def fill(partial):
        calls.append(partial)
        entered.set()
        time.sleep(0.2)  # the other one would come in here
        (partial / "image").write_text("x")

    def make():
        atomic_folders.make(tmp_path / "data", "thing", IS, fill)

    first, second = (threading.Thread(target=make) for _ in range(2))
    first.start()
    assert entered.wait(10)
    second.start()
    first.join()
    second.join()
    assert len(calls) == 1
    assert atomic_folders.is_complete(tmp_path / "data", "thing", IS)


def test_another_description_is_made_anew(tmp_path):
    def fill(partial):
        (partial / "image").touch()

    atomic_folders.make(tmp_path / "data", "thing", IS, fill)
    (tmp_path / "data" / "old").touch()
    atomic_folders.make(tmp_path / "data", "thing", {"version": 2}, fill)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"image", "thing.json"}


def test_a_failure_leaves_the_old_folder(tmp_path):
    atomic_folders.make(tmp_path / "data", "thing", IS, lambda partial: None)

    def fail(partial):
        (partial / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_folders.make(tmp_path / "data", "thing", {"version": 2}, fail)
    assert atomic_folders.is_complete(tmp_path / "data", "thing", IS)
    assert {path.name for path in tmp_path.iterdir()} == {"data", ".data.lock"}
