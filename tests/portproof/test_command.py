"""The command `portproof`: its subcommands, its help, and mistakes."""

import importlib
import sys

import pytest

from portproof.cli import align, main, project
from portproof.system.errors import UserError
from tests.support.helpers import assert_success, assert_user_error, call, run
from tools.project import PORTS


@pytest.fixture
def portproof(monkeypatch):
    """A function that runs the command in this process, as the installed program does."""

    def run_command(*words):
        monkeypatch.setattr(sys, "argv", ["portproof", *map(str, words)])
        return call(main.run)

    return run_command


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)])
def test_subcommands_are_shown(words):
    shown = assert_success(call(main.main, words)).stdout
    for name in main.COMMANDS:
        assert f"\n  {name} " in shown


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_subcommand_has_its_help(name):
    done = assert_success(call(main.main, [name, "--help"]))
    assert importlib.import_module(f"portproof.cli.{name}").__doc__.splitlines()[0] in done.stdout


def test_a_subcommand_that_is_none_is_a_line():
    done = run(sys.executable, "-m", "portproof", "algin", "--only", "lr")
    assert_user_error(done, "portproof: error: there is no command algin; did you mean align?")
    with pytest.raises(UserError, match="there is no command 7"):
        main.main(["7"])


def test_mistakes_of_a_subcommand_are_told_in_its_name(portproof):
    assert_user_error(portproof("align", "--olny", "lr"), "portproof align: error: ", "--only")
    assert_user_error(portproof("align"), "--torch-port FILE")
    assert_user_error(portproof("align", "none.py"), "none.py", "there is no such file")
    assert_user_error(portproof("transfer", "a.pth", "b.pth", "c.pth"), "'c.pth' belongs to no")


def test_exit_status_is_that_of_the_subcommand(portproof):
    runs = ("runs", "56.5,56.6,56.4", "56.4,56.5,56.6", "--margin")
    assert portproof(*runs, 5).returncode == 0
    assert portproof(*runs, 0.01).returncode == 1
    assert_user_error(portproof(*runs, "much"), "--margin")


@pytest.mark.parametrize(
    "words",
    [
        [PORTS["torch"], PORTS["paddle"], "--first"],
        ["--first", PORTS["torch"], PORTS["paddle"]],
        [PORTS["torch"], "--first", "--paddle-port", PORTS["paddle"]],
        ["--first", "--torch-port", PORTS["torch"], "--paddle-port", PORTS["paddle"]],
    ],
    ids=["words", "words last", "one of each", "options"],
)
def test_align_takes_ports_as_words(words):
    args = align.parse([*map(str, words)], project.NONE)
    assert {name: side.port for name, side in project.sides(args, project.NONE).items()} == PORTS
    assert args.first


def test_align_looks_at_the_ports_that_are_named(portproof, warm_probes, tmp_path):
    """One port file without a framework's part says what both lack."""
    for name in PORTS:
        (tmp_path / f"{name}.py").write_text("SETTINGS = {}\n")
    done = portproof("align", tmp_path / "torch.py", tmp_path / "paddle.py", "--only", "lr")
    assert done.returncode == 1, done.stderr
    assert "neither port has model() and train(), or else model() and optimizer()" in done.stdout
