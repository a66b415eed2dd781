"""tools/records.py: what a side did is kept by content, and found again only for the same."""

import os
import shutil

import pytest

from common.errors import UserError
from tests.trees import SMALL, copy_tree
from tools import probes, records
from tools.probes import Side
from tools.rehearsals import Rehearsals


@pytest.fixture
def side(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FOLDER", tmp_path / "records")
    return Side("torch", copy_tree("torch", tmp_path / "tree", []))


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "written"
    folder.mkdir()
    (folder / "training.json").write_text("{}")
    (folder / "request.json").write_text("{}")
    return folder


def test_the_same_tree_and_request_have_the_same_key_wherever_they_lie(side, tmp_path):
    weights = tmp_path / "a.bin", tmp_path / "b.bin"
    for path in weights:
        path.write_bytes(b"the same")
    other = Side("torch", copy_tree("torch", tmp_path / "elsewhere", []))
    keys = [
        records.key(one, "training", {"steps": 3, "weights": str(path)})
        for one, path in zip((side, other), weights, strict=True)
    ]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("change", ["tree", "setting", "weights", "part"])
def test_any_change_gives_another_key(side, tmp_path, change):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    settings = {"options": ["--weights", str(weights)], "steps": 3}
    before = records.key(side, "training", settings)
    part = "training"
    if change == "tree":
        (side.tree / "optim.py").write_text("# another\n")
    elif change == "setting":
        settings["steps"] = 4
    elif change == "weights":
        weights.write_bytes(b"22")
    else:
        part = "optimizer"
    assert records.key(side, part, settings) != before


def test_a_record_is_found_again_whole_and_the_oldest_go(side, written, monkeypatch):
    monkeypatch.setattr(records, "MOST", 2)
    assert records.find("one") is None
    for name in ("one", "two", "three"):
        records.keep(name, written)
    kept = {name for name in ("one", "two", "three") if records.find(name)}
    assert len(kept) == 2 and "three" in kept
    found = records.find("three")
    assert (found / "training.json").exists() and not (found / "request.json").exists()


def test_records_that_vanish_meanwhile_are_no_error(side, written, monkeypatch):
    """Two tools at once keep and drop in the same folder."""
    monkeypatch.setattr(records, "MOST", 1)
    records.keep("one", written)
    with monkeypatch.context() as patch:

        def vanishing(folder):
            patch.undo()
            entries = list(os.scandir(folder))
            shutil.rmtree(records.FOLDER / "one")
            return entries

        patch.setattr(records.os, "scandir", vanishing)
        records.keep("two", written)
    assert records.find("two") and not records.find("one")


def test_half_a_record_is_none(side, written):
    records.keep("one", written)
    (records.FOLDER / "one" / "complete").unlink()
    assert records.find("one") is None


def test_what_is_too_large_is_not_kept(side, written, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 1)
    records.keep("one", written)
    assert records.find("one") is None


def test_a_side_that_has_not_changed_is_not_run_again(tmp_path, monkeypatch, warm_probes):
    monkeypatch.setattr(records, "FOLDER", tmp_path / "records")
    asked = []
    ask = Side.ask

    def counted(side, folder, **parts):
        asked.extend((side.framework, part) for part in parts if part == "loss")
        return ask(side, folder, **parts)

    monkeypatch.setattr(Side, "ask", counted)
    trees = {n: copy_tree(n, tmp_path / f"AlexNet-{n}", SMALL) for n in probes.FRAMEWORKS}
    reports = []
    for turn in range(3):
        if turn == 2:
            file = trees["paddle"] / "optim.py"
            file.write_text(file.read_text() + "# changed\n")
        sides = {name: Side(name, tree) for name, tree in trees.items()}
        rehearsals = Rehearsals(sides, tmp_path / f"turn{turn}")
        rehearsals.folder.mkdir()
        rehearsals.prepare()
        reports.append(rehearsals.ask("loss", cases=[]))
    assert asked == [("torch", "loss"), ("paddle", "loss"), ("paddle", "loss")]
    assert reports[1]["torch"]["cases"] == reports[0]["torch"]["cases"]


def test_a_side_that_has_answered_is_told_of_though_the_other_fails(tmp_path):
    class Fails:
        framework = "paddle"

        def ask(self, folder, **parts):
            raise UserError("it fails")

    class Answers(Fails):
        framework = "torch"

        def ask(self, folder, **parts):
            return parts

    told = []
    with pytest.raises(UserError, match="it fails"):
        probes.ask_both(
            [Fails(), Answers()],
            tmp_path,
            [{"training": {}}] * 2,
            lambda side, folder: told.append((side.framework, folder)),
        )
    assert told == [("torch", tmp_path / "torch")]
