"""The two trees mirror each other, and neither knows the other's framework."""

import ast
import difflib

import pytest

from common.paths import ROOT

TORCH, PADDLE = ROOT / "AlexNet-torch", ROOT / "AlexNet-paddle"
# Files that one tree alone has, each with its reason.
ONLY_TORCH_FILES = {
    "products.py"
}  # Paddle's products are MKL's too, and told which in its settings
FILES = sorted({str(path.relative_to(TORCH)) for path in TORCH.rglob("*.py")} - ONLY_TORCH_FILES)
# Share of a file's lines that the frameworks may make different: setting an optimizer up and saving
# its state is where they differ most.
MOST_DIFFERENT = {
    "optim.py": 0.5,
    "checkpoint.py": 0.5,
    "models/alexnet.py": 0.35,
    "models/alexnet_two_devices.py": 0.35,  # each framework's own way to define a gradient
    "presets.py": 0.35,  # only torch has channels last
    "export.py": 0.42,  # each framework's own exporter, and none of Paddle's to ONNX
}


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
    assert all((TORCH / file).is_file() for file in ONLY_TORCH_FILES)
    assert sorted(str(path.relative_to(PADDLE)) for path in PADDLE.rglob("*.py")) == FILES
    assert len(FILES) >= 8


@pytest.mark.parametrize("file", FILES)
def test_functions_classes_and_arguments_are_the_same_in_the_same_order(file):
    torch_functions = signatures(parse(TORCH / file))
    paddle_functions = signatures(parse(PADDLE / file))
    only_paddle, only_torch = ALLOWED_EXTRA.get(file, set()), ONLY_TORCH.get(file, set())
    paddle_functions = [one for one in paddle_functions if one[0] not in only_paddle]
    torch_functions = [one for one in torch_functions if one[0] not in only_torch]
    paddle_functions, torch_functions = (
        [
            [name, "the framework's own" if name in STAND_INS else arguments]
            for name, arguments in one
        ]
        for one in (paddle_functions, torch_functions)
    )
    assert paddle_functions == torch_functions


# Functions that only Paddle needs, each with its reason.
ALLOWED_EXTRA = {
    "checkpoint.py": {
        "automatic_names",  # Paddle keys an optimizer's state by names counted in the process
        "rename",
        "linear_weights",  # Paddle transposes the weights of Linear
    },
    "export.py": {
        "as_operation",  # Paddle has no exporter to ONNX for every Python: see common/onnx_graph.py
        "name_of",
    },
}
STAND_INS = {"dropout"}  # takes a function's place in the framework, with that function's arguments
# The tools read and write a .pdparams without the framework, by common/pickles.py; a .pth they ask
# torch for.
ONLY_TORCH = {
    "checkpoint.py": {"load_tensors"},
    "distributed.py": {"settle"},  # gloo's threads take Python's lock
    "probe.py": {"report_read", "read_weights", "write_neutral", "report_write"},
}


@pytest.mark.parametrize(
    "file", ["train.py", "predict.py", "metric.py", "presets.py", "datasets/folder.py"]
)
def test_variables_have_the_same_names(file):
    torch_names = local_names(parse(TORCH / file))
    paddle_names = local_names(parse(PADDLE / file))
    for function, names in torch_names.items():
        assert set(paddle_names[function]) ^ set(names) <= ALLOWED_NAMES, function


ALLOWED_NAMES = {"highest", "probabilities"}  # torch's max returns values and indices at once


@pytest.mark.parametrize("file", FILES)
def test_log_lines_are_the_same(file):
    assert printed(parse(PADDLE / file)) == printed(parse(TORCH / file))


@pytest.mark.parametrize("file", FILES)
def test_the_files_differ_only_where_the_frameworks_do(file):
    torch_lines = (TORCH / file).read_text().splitlines()
    paddle_lines = (PADDLE / file).read_text().splitlines()
    same = sum(
        block.size
        for block in difflib.SequenceMatcher(
            None, torch_lines, paddle_lines, autojunk=False
        ).get_matching_blocks()
    )
    most = max(len(torch_lines), len(paddle_lines))
    assert most - same <= MOST_DIFFERENT.get(file, 0.3) * most


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
        assert not set(imported(path)) & forbidden, path
