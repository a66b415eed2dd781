"""The two trees mirror each other: the same files, functions and lines but for the frameworks."""

import ast
import subprocess
from collections.abc import Iterator

import pytest

from common.paths import ROOT

TREES = (ROOT / "AlexNet-torch", ROOT / "AlexNet-paddle")
# How many lines of a file and its twin differ at the most: `diff FILE TWIN | grep -c '^[<>]'`.
MOST_DIFFERENT = {
    "boards.py": 11, "crops.py": 10, "datasets/folder.py": 23, "distributed.py": 59, "ema.py": 20,
    "metric.py": 18, "models/__init__.py": 0, "models/alexnet.py": 44,
    "models/alexnet_paper.py": 47, "models/small.py": 64, "port.py": 24, "predict.py": 27,
    "presets.py": 39, "train.py": 46,
    "checkpoint.py": 80,  # the state of an optimizer
    "export.py": 128,  # each framework's own exporter, and none of Paddle's to ONNX
    "optim.py": 54,  # the setup order is each framework's own
    "runtime.py": 88,  # where it stands what the frameworks make different
}  # fmt: skip
# Functions that one tree alone needs.
# Paddle's tensors lie where its processes exchange them, and its layers have the layout among their
# arguments; gloo's threads take Python's lock.
ONLY_TORCH = {"sum_device", "settle", "lay_channels_last"}
# Paddle keys an optimizer's state by names counted in the process, transposes Linear's weights, and
# exports to ONNX by common/inference/onnx_graph.py.
ONLY_PADDLE = {"automatic_names", "rename", "linear_weights", "as_operation", "name_of"}
# Functions in which the frameworks need other variables.
OTHER_VARIABLES = {
    "checkpoint.py": {"put_weights", "restore"},  # names and layout of Paddle's
    "export.py": {"write_onnx", "write_native", "example", "open_native"},  # each has its own way
    "optim.py": {"build"},  # the setup order
    "runtime.py": {"move_model"},  # torch returns a model that is moved
}


def twins(file):
    """Return the torch file and the Paddle file of a name."""
    return [tree / file for tree in TREES]


def nodes(path, *kinds) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds))


def functions(path):
    """Return (name, arguments and their defaults, variables) of functions and classes, in order."""
    rows = []
    for node in sorted(nodes(path, ast.FunctionDef, ast.ClassDef), key=lambda node: node.lineno):
        arguments, variables = "", set()
        if isinstance(node, ast.FunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.arg):
                    inner.annotation = None
                elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    variables.add(inner.id)
            arguments = ast.unparse(node.args)
        rows.append((node.name, arguments, variables))
    return rows


def printed(path):
    """Return the text of every print and progress bar, with what it formats."""
    calls = map(ast.unparse, nodes(path, ast.Call))
    return [call for call in calls if call.startswith("print(") or ".set_postfix_str(" in call]


def test_the_trees_have_the_same_files():
    for tree in TREES:
        paths = [path for path in tree.rglob("*.py") if path.read_text()]
        assert {path.relative_to(tree).as_posix() for path in paths} == set(MOST_DIFFERENT)


@pytest.mark.parametrize("file", sorted(MOST_DIFFERENT.keys() - {"models/__init__.py"}))
def test_functions_arguments_and_variables_are_the_same_in_the_same_order(file):
    torch, paddle = map(functions, twins(file))
    torch = [row for row in torch if row[0] not in ONLY_TORCH]
    paddle = [row for row in paddle if row[0] not in ONLY_PADDLE]
    assert [row[:2] for row in paddle] == [row[:2] for row in torch] != []
    differing = {one[0] for one, other in zip(torch, paddle, strict=True) if one[2] != other[2]}
    assert differing == OTHER_VARIABLES.get(file, set())


@pytest.mark.parametrize(("side", "only"), [(0, ONLY_TORCH), (1, ONLY_PADDLE)])
def test_what_one_tree_alone_may_have_is_there(side, only):
    assert only <= {row[0] for file in MOST_DIFFERENT for row in functions(twins(file)[side])}


@pytest.mark.parametrize("file", ["export.py", "train.py"])
def test_log_lines_are_the_same(file):
    torch, paddle = map(printed, twins(file))
    assert paddle == torch != []


@pytest.mark.parametrize("file", MOST_DIFFERENT)
def test_the_files_differ_only_where_the_frameworks_do(file):
    done = subprocess.run(["diff", *twins(file)], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("<", ">"))]
    assert done.returncode < 2, done.stderr
    assert len(lines) <= MOST_DIFFERENT[file]
