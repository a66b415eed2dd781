"""tools/compare_runs.py: seed noise is told from a difference; damaged logs are named."""

import json
import sys

import numpy as np
import pytest

from common.paths import ROOT
from tests.helpers import assert_user_error, run
from tools import compare_runs


def write_run(folder, framework, top1, epochs=3, noise=0.0, seed=0):
    generator = np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    for epoch in range(1, epochs + 1):
        value = top1 * epoch / epochs + noise * generator.standard_normal()
        rows.append({"epoch": epoch, "train_loss": 2 / epoch, "val_loss": 2.1 / epoch})
        rows[-1] |= {"val_top1": value, "val_top5": min(value + 5, 100)}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "args.json").write_text(json.dumps({"arguments": {"framework": framework}}))
    return str(folder)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    def run_tool(*options):
        file = tmp_path / "found.json"
        argv = ["compare_runs.py", *map(str, options), "--json", str(file)]
        monkeypatch.setattr(sys, "argv", argv)
        return compare_runs.main(), json.loads(file.read_text()), capsys.readouterr().out

    return run_tool


def several(tmp_path, framework, top1):
    return ",".join(
        write_run(tmp_path / f"{framework}{seed}", framework, top1, noise=1.0, seed=seed)
        for seed in range(5)
    )


def test_runs_that_differ_by_seeds_alone_are_within_noise(tmp_path, call):
    status, found, text = call(several(tmp_path, "torch", 80), several(tmp_path, "paddle", 80))
    assert status == 0 and found["within_noise"] is True, text
    assert "within seed noise" in text and text.startswith("torch (5) and paddle (5)")
    assert found["metrics"]["val_top1"]["chance"] > 0.05


def test_runs_that_differ_by_more_are_beyond_it(tmp_path, call):
    sides = several(tmp_path, "torch", 80), several(tmp_path, "paddle", 76)
    status, found, text = call(*sides, "--report", tmp_path / "report")
    assert status == 1 and found["within_noise"] is False, text
    assert found["metrics"]["val_top1"]["difference"] == pytest.approx(-4, abs=2)
    page = (tmp_path / "report" / "align.html").read_text()
    assert "diverged" in page
    assert page.count("data:image/png") == 1


def test_one_run_alone_tells_no_noise(tmp_path, call):
    sides = write_run(tmp_path / "a", "torch", 80), write_run(tmp_path / "b", "paddle", 79)
    status, found, text = call(*sides)
    assert status == 0 and found["within_noise"] is None and "give several" in text


def test_mistakes_are_one_line_and_exit_status_2(tmp_path):
    tool = [sys.executable, ROOT / "tools" / "compare_runs.py"]
    good = write_run(tmp_path / "good", "torch", 80)
    short = write_run(tmp_path / "short", "torch", 80, epochs=2)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "metrics.jsonl").write_text('{"epoch": 1')
    assert_user_error(run(*tool, good, tmp_path / "no"), "name a run folder")
    assert_user_error(run(*tool, good, bad), "damaged")
    assert_user_error(run(*tool, f"{good},{short}", good), "unlike numbers of epochs")
