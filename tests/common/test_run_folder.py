"""What a run folder holds is written whole and read with care."""

import json
import os
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.data.folder import BadImage
from common.training.run_folder import RunFolder, read_metrics
from portproof.system.errors import UserError


def run_folder(path, gpu=None, **arguments):
    usual = {"resume": None, "resume_auto": False, "framework": "torch"}
    return RunFolder(Namespace(output_dir=path, **usual | arguments), gpu=gpu)


def log(run, row):
    with run.logged(row):
        pass


def test_any_name_can_be_written_and_read_again(tmp_path):
    odd = Path(os.fsdecode("图片".encode() + b"\xff\n"))
    run = run_folder(tmp_path / "run", data_path=odd)
    text = (run.path / "args.json").read_text(encoding="utf-8")
    assert "图片" in text
    assert Path(json.loads(text)["arguments"]["data_path"]) == odd


@pytest.mark.parametrize("gpu", [None, "a GPU"])
def test_a_run_says_on_what_it_computed(gpu, tmp_path):
    run_folder(tmp_path, gpu)
    machine = json.loads((tmp_path / "args.json").read_text())["machine"]
    assert machine["gpu"] == gpu and machine["cores"] >= 1


def dataset(*bad):
    return SimpleNamespace(index=SimpleNamespace(bad=list(bad)))


def test_bad_images_of_both_splits_are_listed(tmp_path):
    run = run_folder(tmp_path / "run")
    file = run.path / "bad_pictures.jsonl"
    run.record_bad_images(dataset(), dataset())
    assert not file.exists()
    run.record_bad_images(dataset(BadImage("a\nb.jpg", "torn")), dataset(BadImage("c", "x")))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows == [{"path": "a\nb.jpg", "reason": "torn"}, {"path": "c", "reason": "x"}]
    run.record_bad_images(dataset(), dataset())  # a resumed run, its images mended
    assert file.read_text() == ""


@pytest.mark.parametrize("line", ['{"epoch": 2', "[1]", "null", '{"epoch": "2"}', "[" * 100_000])
def test_a_damaged_line_of_metrics_is_named(tmp_path, line):
    run = run_folder(tmp_path / "run")
    log(run, {"epoch": 1, "lr": 0.1})
    assert read_metrics(run.path) == [{"epoch": 1, "lr": 0.1}]
    with open(run.metrics_file, "a") as file:
        file.write(line)
    assert read_metrics(run.path) == [{"epoch": 1, "lr": 0.1}]  # the half line of a killed run
    with open(run.metrics_file, "a") as file:
        file.write("\n" + json.dumps({"epoch": 3, "lr": 0.1}) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not the metrics"):
        read_metrics(run.path)


def test_a_new_run_takes_up_no_folder_of_another_one(tmp_path):
    """--resume auto without a checkpoint: a run of its own that ended early, or none."""
    run = run_folder(tmp_path / "run", resume_auto=True)
    log(run, {"epoch": 1})
    assert read_metrics(run_folder(tmp_path / "run", resume_auto=True).path) == []
    log(run, {"epoch": 1})
    with pytest.raises(UserError, match="holds another run"):
        run_folder(tmp_path / "run", resume_auto=True, framework="paddle")
    with pytest.raises(UserError, match="holds another run"):
        run_folder(tmp_path / "run")
    assert read_metrics(run.path) == [{"epoch": 1}]


@pytest.mark.parametrize(
    ("number", "words"),
    [(28, "No space left.*free some space"), (30, "that you may write to")],
)
def test_a_folder_that_cannot_be_written_says_what_would_help(tmp_path, monkeypatch, number, words):
    def write_json(path, contents):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("common.training.run_folder.write_json", write_json)
    with pytest.raises(UserError, match=words):
        run_folder(tmp_path / "run")
