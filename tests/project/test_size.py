"""How long functions, files and trees may be, and how many parameters a function may have."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.paths import ROOT
from scripts import count_lines

TREES = ("AlexNet-torch", "AlexNet-paddle")
ROOMS = ("portproof", "common", "tools", "experiments", "homework", "course", "benchmarks")
ROOMS += ("scripts", "examples")
CODE_LINES, TEST_LINES, PROSE = 34_000, 17_000, 0.12  # the last: docstrings and comments, at least
TREE_LINES, TRAIN_LINES = 1750, 200  # at most; blank lines and docstrings count
TREE_FUNCTION, FUNCTION = 50, 60  # lines, at most
PARAMETERS = 6  # at most, `self` aside; *args and **kwargs are one each

# They take the place of a framework's function, and so have its signature.
STAND_INS = {"portproof/backends/paddle.py:dropout_by.dropout"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, above: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function below a node with its dotted name."""
    for child in ast.iter_child_nodes(node):
        name = above
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{above}{child.name}."
        if isinstance(child, Function):
            yield name[:-1], child
        yield from functions(child, name)


def all_functions(*folders: str) -> Iterator[tuple[str, Function]]:
    """Yield every function of these folders as FILE:NAME."""
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        for name, function in functions(ast.parse(path.read_text())):
            yield f"{file}:{name}", function


def length(node: Function | ast.Call) -> int:
    """Return the lines of a function, its decorators aside, or of a call."""
    return node.end_lineno - node.lineno + 1


def parameters(function: Function) -> list[str]:
    """Return the names of a function's parameters but for `self`."""
    args = function.args
    every = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
    return [arg.arg for arg in every if arg and arg.arg not in ("self", "cls")]


def longer(named: dict[str, Function], most: int) -> set[str]:
    """Return the names of the functions that have more lines."""
    return {name for name, function in named.items() if length(function) > most}


def with_many_parameters(named: dict[str, Function]) -> set[str]:
    return {name for name, function in named.items() if len(parameters(function)) > PARAMETERS}


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_and_its_train_py_are_short(tree):
    assert lines_of(ROOT / tree / "train.py") <= TRAIN_LINES
    assert sum(map(lines_of, (ROOT / tree).rglob("*.py"))) <= TREE_LINES


@pytest.mark.parametrize("tree", TREES)
def test_functions_of_a_tree_are_short_and_take_few_parameters(tree):
    in_tree = dict(all_functions(tree))
    assert len(in_tree) > 50
    assert not longer(in_tree, TREE_FUNCTION) and not with_many_parameters(in_tree)


def test_functions_elsewhere_are_short():
    assert longer(dict(all_functions(*ROOMS)), FUNCTION) == set()


def test_functions_elsewhere_take_few_parameters():
    assert with_many_parameters(dict(all_functions(*ROOMS))) == STAND_INS


def test_what_is_counted():
    source = """
class A:
    def f(self, a, /, b, *c, d=1, **e):
        def g():
            pass
"""
    named = dict(functions(ast.parse(source)))
    assert list(named) == ["A.f", "A.f.g"]
    assert [length(function) for function in named.values()] == [3, 2]
    assert parameters(named["A.f"]) == ["a", "b", "d", "c", "e"]


def test_the_project_is_not_longer_than_it_has_to_be():
    folders = count_lines.count_folders()
    tests = folders.pop("tests")
    lines, prose = (sum(folder[name] for folder in folders.values()) for name in ("lines", "prose"))
    assert lines <= CODE_LINES and tests["lines"] <= TEST_LINES
    assert prose >= PROSE * lines
