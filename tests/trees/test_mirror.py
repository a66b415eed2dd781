"""The two trees mirror each other, and neither knows the other's framework."""

import ast
import difflib
import subprocess

import pytest

from common.paths import ROOT

TORCH, PADDLE = ROOT / "AlexNet-torch", ROOT / "AlexNet-paddle"
TREE_FILES = sorted(str(path.relative_to(TORCH)) for path in TORCH.rglob("*.py"))
FILES = [*TREE_FILES, "examples/two_devices.py"]  # whose two files lie in one folder
MOST_DIFFERENT_LINES = 70  # of both train.py together, as diff counts them
# Share of a file's lines that the frameworks may make different: setting an optimizer up and saving
# its state is where they differ most.
MOST_DIFFERENT = {
    "runtime.py": 0.51,  # where it stands what the frameworks make different
    "optim.py": 0.4,
    "checkpoint.py": 0.4,
    "models/alexnet.py": 0.35,
    "examples/two_devices.py": 0.35,  # each framework's own way to define a gradient
    "export.py": 0.42,  # each framework's own exporter, and none of Paddle's to ONNX
}


def twins(file):
    """Return the torch file and the Paddle file of a name."""
    if file.startswith("examples/"):
        return tuple(ROOT / file.replace(".py", f"_{name}.py") for name in ("torch", "paddle"))
    return TORCH / file, PADDLE / file


def parse(path):
    return ast.parse(path.read_text(), str(path))


def signatures(tree):
    """Return (name, arguments and their defaults) of every function and class, in order."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found.append((node.lineno, node.name, ""))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            defaults = [ast.unparse(default) for default in node.args.defaults]
            found.append((node.lineno, node.name, ([a.arg for a in every], defaults)))
    return [rest for _, *rest in sorted(found, key=lambda item: item[0])]


def local_names(tree):
    """Return the names that each function assigns, in order of first assignment."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            stored = [
                (inner.lineno, inner.col_offset, inner.id)
                for inner in ast.walk(node)
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            ]
            names[node.name] = list(dict.fromkeys(name for *_, name in sorted(stored)))
    return names


def printed(tree):
    """Return the text of every print and progress bar, with what it formats."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name == "print" or name.endswith("set_postfix_str"):
                lines.append(ast.unparse(node))
    return lines


def test_the_trees_have_the_same_files():
    assert sorted(str(path.relative_to(PADDLE)) for path in PADDLE.rglob("*.py")) == TREE_FILES
    assert len(TREE_FILES) >= 8


# Functions that only Paddle needs, each with its reason.
ONLY_PADDLE = {
    "checkpoint.py": {
        "automatic_names",  # Paddle keys an optimizer's state by names counted in the process
        "rename",
        "linear_weights",  # Paddle transposes the weights of Linear
    },
    "export.py": {
        "as_operation",  # Paddle exports to ONNX by common/inference/onnx_graph.py
        "name_of",
    },
}
ONLY_TORCH = {
    "distributed.py": {
        "sum_device",  # Paddle's tensors lie where its processes exchange them
        "settle",  # gloo's threads take Python's lock
    },
    "runtime.py": {"lay_channels_last"},  # Paddle's layers have the layout among their arguments
}
STAND_INS = {"dropout"}  # takes a function's place in the framework, with that function's arguments


@pytest.mark.parametrize("file", FILES)
def test_functions_classes_and_arguments_are_the_same_in_the_same_order(file):
    torch_functions, paddle_functions = (
        [
            [name, "the framework's own" if name in STAND_INS else arguments]
            for name, arguments in signatures(parse(path))
            if name not in only.get(file, set())
        ]
        for path, only in zip(twins(file), (ONLY_TORCH, ONLY_PADDLE), strict=True)
    )
    assert paddle_functions == torch_functions


@pytest.mark.parametrize(("tree", "only"), [(TORCH, ONLY_TORCH), (PADDLE, ONLY_PADDLE)])
def test_what_one_tree_alone_may_have_is_there(tree, only):
    for file, names in only.items():
        assert names <= {name for name, _ in signatures(parse(tree / file))}, file


# Functions in which the frameworks need other variables.
OTHER_VARIABLES = {
    "checkpoint.py": {"put_weights", "neutral_weights", "restore"},  # names and layout of Paddle's
    "export.py": {"write_onnx", "write_native", "example", "open_native"},  # each has its own way
    "examples/two_devices.py": {"half_of", "forward"},
    "optim.py": {"build"},  # the setup order is each framework's own
    "runtime.py": {"move_model"},  # torch returns a model that is moved
}


@pytest.mark.parametrize("file", FILES)
def test_variables_have_the_same_names(file):
    torch_names, paddle_names = (local_names(parse(path)) for path in twins(file))
    differing = {
        function
        for function in torch_names.keys() & paddle_names.keys()
        if set(torch_names[function]) != set(paddle_names[function])
    }
    assert differing == OTHER_VARIABLES.get(file, set())


@pytest.mark.parametrize("file", FILES)
def test_log_lines_are_the_same(file):
    torch_lines, paddle_lines = (printed(parse(path)) for path in twins(file))
    assert paddle_lines == torch_lines


@pytest.mark.parametrize("file", FILES)
def test_the_files_differ_only_where_the_frameworks_do(file):
    torch_lines, paddle_lines = (path.read_text().splitlines() for path in twins(file))
    same = sum(
        block.size
        for block in difflib.SequenceMatcher(
            None, torch_lines, paddle_lines, autojunk=False
        ).get_matching_blocks()
    )
    most = max(len(torch_lines), len(paddle_lines))
    assert most - same <= MOST_DIFFERENT.get(file, 0.3) * most


def test_few_lines_of_train_py_differ():
    """As `diff AlexNet-torch/train.py AlexNet-paddle/train.py | grep -c '^[<>]'` counts them."""
    files = [str(tree / "train.py") for tree in (TORCH, PADDLE)]
    done = subprocess.run(["diff", *files], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("<", ">"))]
    assert 0 < len(lines) <= MOST_DIFFERENT_LINES


# Runs in either framework's process, as the one file of a first day would.
BY_HAND = "compare_by_hand.py"


def imported(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("AlexNet-torch", {"paddle"}),
        ("AlexNet-paddle", {"torch", "torchvision"}),
        ("common", {"torch", "torchvision", "paddle"}),
        ("tools", {"torch", "torchvision", "paddle"}),
        ("course", {"torch", "torchvision", "paddle"}),
        ("experiments", {"torch", "torchvision", "paddle"}),
    ],
)
def test_no_framework_where_it_does_not_belong(folder, forbidden):
    for path in (ROOT / folder).rglob("*.py"):
        if path.name != BY_HAND:
            assert not set(imported(path)) & forbidden, path
