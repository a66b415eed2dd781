"""portproof/worker/cache.py: what a worker did is kept by content, and found again only so."""

import os
import shutil

import numpy as np
import pytest

from portproof.core.training_pair import Request, TrainingPair
from portproof.system.errors import UserError
from portproof.worker import cache, client
from portproof.worker.cache import Records
from portproof.worker.client import Side
from tests.support.trees import SMALL, copy_tree


@pytest.fixture
def side(tmp_path):
    return Side("torch", copy_tree("torch", tmp_path / "tree", []) / "port.py")


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "records")


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "written"
    folder.mkdir()
    (folder / "training.json").write_text("{}")
    (folder / "request.json").write_text("{}")
    return folder


def test_the_same_tree_and_request_have_the_same_key_wherever_they_lie(side, records, tmp_path):
    weights = tmp_path / "a.bin", tmp_path / "b.bin"
    for path in weights:
        path.write_bytes(b"the same")
    other = Side("torch", copy_tree("torch", tmp_path / "elsewhere", []) / "port.py")
    requests = [{"steps": 3, "weights": str(path)} for path in weights]
    key, *others = map(records.key, (side, other), ("training",) * 2, requests)
    assert others == [key]


@pytest.mark.parametrize("change", ["tree", "setting", "weights", "part"])
def test_any_change_gives_another_key(side, records, tmp_path, change):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    part, settings = "training", {"options": ["--weights", str(weights)], "steps": 3}
    before = records.key(side, part, settings)
    if change == "tree":
        (side.folder / "optim.py").write_text("# another\n")
    elif change == "setting":
        settings["steps"] = 4
    elif change == "weights":
        weights.write_bytes(b"22")
    else:
        part = "optimizer"
    assert records.key(side, part, settings) != before


def test_a_record_is_found_again_whole_and_the_oldest_go(records, written, monkeypatch):
    monkeypatch.setattr(cache, "MOST", 2)
    assert records.find("one") is None
    for name in ("one", "two", "three"):
        records.keep(name, written)
    kept = {name for name in ("one", "two", "three") if records.find(name)}
    assert len(kept) == 2 and "three" in kept
    assert {path.name for path in records.find("three").iterdir()} == {"training.json", "complete"}


def test_records_that_vanish_meanwhile_are_no_error(records, written, monkeypatch):
    """Two tools at once keep and drop in the same folder."""
    monkeypatch.setattr(cache, "MOST", 1)
    records.keep("one", written)
    with monkeypatch.context() as patch:

        def vanishing(folder):
            patch.undo()
            entries = list(os.scandir(folder))
            shutil.rmtree(records.folder / "one")
            return entries

        patch.setattr(cache.os, "scandir", vanishing)
        records.keep("two", written)
    assert records.find("two") and not records.find("one")


@pytest.mark.parametrize("largest", [cache.LARGEST, 1])
def test_half_a_record_and_one_that_is_too_large_are_none(records, written, monkeypatch, largest):
    monkeypatch.setattr(cache, "LARGEST", largest)
    records.keep("one", written)
    (records.folder / "one" / "complete").unlink(missing_ok=largest == 1)
    assert records.find("one") is None


def test_a_side_that_has_not_changed_is_not_run_again(records, tmp_path, monkeypatch, warm_probes):
    requests, ask = [], Side.ask

    def counted(side, folder, **parts):
        requests.extend(side.framework for part in parts if part == "loss")
        return ask(side, folder, **parts)

    monkeypatch.setattr(Side, "ask", counted)
    trees = {n: copy_tree(n, tmp_path / f"AlexNet-{n}", SMALL) for n in client.FRAMEWORKS}
    reports = []
    case = tmp_path / "case.npz"
    np.savez(case, logits=np.zeros([4, 5]), labels=np.arange(4))
    for turn in range(3):
        if turn == 2:
            file = trees["paddle"] / "optim.py"
            file.write_text(file.read_text() + "# changed\n")
        sides = {name: Side(name, tree / "port.py") for name, tree in trees.items()}
        pair = TrainingPair(sides, tmp_path / f"turn{turn}", records=records)
        pair.folder.mkdir()
        pair.prepare()
        reports.append(pair.ask(Request("loss", recording={"cases": [str(case)]})))
    assert requests == ["torch", "paddle", "paddle"]
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

    answers = []

    def answered(side, folder):
        answers.append((side.framework, folder))

    with pytest.raises(UserError, match="it fails"):
        client.ask_both([Fails(), Answers()], tmp_path, [{"training": {}}] * 2, answered)
    assert answers == [("torch", tmp_path / "torch")]
