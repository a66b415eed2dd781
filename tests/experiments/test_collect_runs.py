"""scripts/collect_runs.py: finished runs as a table."""

import sys

from common.paths import ROOT
from common.tables import read_csv
from tests.support.helpers import assert_user_error, run
from tests.support.logs import write_run

SCRIPT = ROOT / "scripts" / "collect_runs.py"


def test_table_and_summary(tmp_path):
    write_run(tmp_path / "a", "torch", 1, 92)
    write_run(tmp_path / "b", "torch", 0, 98)
    write_run(tmp_path / "c", "paddle", 0, 97)
    table = tmp_path / "table.csv"
    done = run(sys.executable, SCRIPT, table, tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    lines = read_csv(table)
    expected = [("paddle", "0"), ("torch", "0"), ("torch", "1")]
    assert [(line["framework"], line["seed"]) for line in lines] == expected
    assert lines[1]["seconds"] == "14"
    assert [line["fast"] for line in lines] == ["False"] * 3
    assert "torch: top-1 98.00 92.00, mean 95.00, standard deviation 4.24" in done.stdout


def test_fast_runs_are_a_set_of_their_own(tmp_path):
    write_run(tmp_path / "a", "torch", 1, 92)
    write_run(tmp_path / "b", "torch", 0, 98, fast=True)
    done = run(sys.executable, SCRIPT, tmp_path / "table.csv", tmp_path / "b", tmp_path / "a")
    said = [line.partition(", mean")[0] for line in done.stdout.splitlines()]
    assert said == ["torch: top-1 92.00", "torch --fast: top-1 98.00"]


def test_an_unfinished_run_is_refused(tmp_path):
    write_run(tmp_path / "a", "torch", 1, 92, epochs=1)
    table = tmp_path / "table.csv"
    assert_user_error(run(sys.executable, SCRIPT, table, tmp_path / "a"), "stopped at epoch 1")
    assert not table.exists()
    assert_user_error(run(sys.executable, SCRIPT, table, tmp_path / "none"), "no run with")
