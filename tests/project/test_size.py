"""How long functions, files and trees may be, and how many parameters a function may have."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.paths import ROOT

TREES = ("AlexNet-torch", "AlexNet-paddle")
ROOMS = ("portproof", "common", "tools", "experiments", "homework", "course", "benchmarks")
ROOMS += ("scripts", "examples")
TREE_LINES, TRAIN_LINES = 1750, 200  # at most; blank lines and docstrings count
TREE_FUNCTION, FUNCTION = 50, 60  # lines, at most
PARAMETERS = 6  # at most, `self` aside; *args and **kwargs are one each

# They take the place of a framework's function, and so have its signature.
STAND_INS = {"portproof/backends/paddle.py:shared_dropout.dropout"}
# One option after the other: cut in two they would read no better.
TABLES_OF_OPTIONS = {
    "experiments/claims.py:parse",
    "experiments/curves.py:parse",
}

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


def length(function: Function) -> int:
    """Return the lines of a function, its decorators aside."""
    return function.end_lineno - function.lineno + 1


def parameters(function: Function) -> list[str]:
    """Return the names of a function's parameters but for `self`."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [one.arg for one in (given.vararg, given.kwarg) if one]
    return [name for name in names if name not in ("self", "cls")]


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_and_its_train_py_are_short(tree):
    assert lines_of(ROOT / tree / "train.py") <= TRAIN_LINES
    assert sum(map(lines_of, (ROOT / tree).rglob("*.py"))) <= TREE_LINES


@pytest.mark.parametrize("tree", TREES)
def test_functions_of_a_tree_are_short_and_take_few_parameters(tree):
    found = dict(all_functions(tree))
    assert len(found) > 50
    assert not [name for name, function in found.items() if length(function) > TREE_FUNCTION]
    assert not [name for name, one in found.items() if len(parameters(one)) > PARAMETERS]


def test_functions_elsewhere_are_short():
    found = {name for name, one in all_functions(*ROOMS) if length(one) > FUNCTION}
    assert found == TABLES_OF_OPTIONS


def test_a_table_of_options_is_one():
    """Most of its lines are calls of add_argument, or of what makes a group."""
    for name, function in all_functions(*ROOMS):
        if name in TABLES_OF_OPTIONS:
            calls = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "add_argument"
            ]
            options = sum(node.end_lineno - node.lineno + 1 for node in calls)
            assert options > length(function) / 2, name


def test_functions_elsewhere_take_few_parameters():
    found = {name for name, one in all_functions(*ROOMS) if len(parameters(one)) > PARAMETERS}
    assert found == STAND_INS


def test_what_is_counted():
    source = """
class A:
    def f(self, a, /, b, *c, d=1, **e):
        def g():
            pass
"""
    found = dict(functions(ast.parse(source)))
    assert list(found) == ["A.f", "A.f.g"]
    assert [length(one) for one in found.values()] == [3, 2]
    assert parameters(found["A.f"]) == ["a", "b", "d", "c", "e"]
