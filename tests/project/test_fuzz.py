"""Readers read damaged and hostile files, or refuse them in one line, and do no more: fuzz.py."""

import re
import sys
import tempfile

import pytest

from common.paths import ROOT
from portproof.files import pickles
from portproof.system.errors import UserError
from tests import fuzz
from tests.support.helpers import run

INPUTS = 1000  # of each kind


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_readers_read_or_refuse(kind):
    command = [sys.executable, "-m", "tests.fuzz", kind, "--inputs", INPUTS, "--seed", 0]
    done = run(*command, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]
    read, refused = map(int, re.search(r"(\d+) read, (\d+) refused", done.stdout).groups())
    assert read + refused == INPUTS
    assert min(read, refused) > INPUTS / 50  # the inputs are neither all whole nor all hopeless


def test_every_hostile_pickle_is_refused(tmp_path):
    """Each by itself, so that none hides behind another."""
    path = tmp_path / "hostile.pdparams"
    trace = tmp_path / "trace"
    for contents in fuzz.hostile_pickles(trace):
        path.write_bytes(contents)
        try:
            contents_read = pickles.read(path)
        except UserError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:  # what costs nothing: one list many times over, a place in a table of places
            assert contents_read is None or contents.count(b"](") == 40
        assert not trace.exists()


def test_nothing_outside_the_folder_is_written_by_a_reader():
    """The watch itself: what it forbids is seen."""
    program = """
import sys
from tests import fuzz
sys.addaudithook(fuzz._audit)
import os
for act in ("open('x', 'w')", "os.mkdir('x')", "exec('1')", "os.system('true')"):
    code = compile(act, sys.prefix, "exec")
    try:
        with fuzz.watched():
            eval(code)
    except fuzz.Stopped:
        print("seen")
"""
    with tempfile.TemporaryDirectory() as folder:
        done = run("env", "-C", folder, sys.executable, "-c", program, PYTHONPATH=str(ROOT))
    assert done.stdout.split() == ["seen"] * 4, done.stderr
