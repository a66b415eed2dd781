"""The rooms: each imports only rooms below it, and portproof's backends alone a framework."""

import ast
import json
import re
import subprocess
import sys

import pytest

from common.paths import ROOT

# From the ground up; rooms of one level do not import each other. `numeric`, the random generator
# and the fingerprints, lies below the worker, which draws masks and sums tensors up by it.
LEVELS = (
    ("system",), ("port", "files", "numeric", "runs"), ("networks",), ("weights",), ("backends",),
    ("worker",), ("core",), ("diagnose",), ("checks", "convert"), ("report",), ("api",), ("cli",),
    ("__init__", "__main__"),
)  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# What pyproject.toml asks for. So no module of this repository, of a tree or of a framework is.
OUTSIDE = {"jinja2", "matplotlib", "numpy", "PIL", "safetensors", "scipy"}
BACKENDS = {"portproof/backends/torch.py": {"torch"}, "portproof/backends/paddle.py": {"paddle"}}
# Files that import a framework in a folder that else imports none.
ALONE = BACKENDS | {"course/compare_by_hand.py": {"torch", "paddle"}}

# What the files of a folder import beside their own folder, of the repository and of frameworks.
# Below the rooms of common lie `networks`, `paths` and `tables`; of portproof it needs what any
# project could use.
LIBRARY = {f"portproof.{room}" for room in ("system", "files", "numeric", "report", "runs")}
GROUND = {"common.networks", "common.paths", "common.tables"}
FRAMEWORKS = {"torch", "torchvision", "paddle"}
FOLDERS = {
    "common/data": GROUND | LIBRARY,
    "common/training": GROUND | LIBRARY | {"common.data"},
    "common/inference": GROUND | LIBRARY | {"common.data", "common.training"},
    "AlexNet-torch": {"common", *LIBRARY, "torch", "torchvision"},
    "AlexNet-paddle": {"common", *LIBRARY, "paddle"},
    "examples": {"common", *LIBRARY, *FRAMEWORKS},
    "tools": {"common", "portproof", "experiments"},
    "benchmarks": {"common", "portproof", "tools", *FRAMEWORKS},
    "experiments": {"common", "portproof", "tools"},
    "homework": {"common", "portproof", "tools", *FRAMEWORKS},
    "course": {"common", "portproof", "tools", "tests"},  # exercises are the tests' planted faults
    "scripts": {"common", "portproof", "experiments", *FRAMEWORKS},
}
HELD = {name.partition("/")[0] for name in FOLDERS} | {"portproof", "tests"} | FRAMEWORKS
# The rule by which a recipe's rate is scaled has the one; the contract of a port has the other.
GENERAL = {"world_size", "first_sample"}


def files_in(*folders):
    """Return the files of folders, relative to the repository."""
    paths = [path for name in folders for path in ROOT.glob(f"{name}/**/*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


LIBRARY_FILES = files_in("portproof")


def room_of(file):
    """Return the room of a file of portproof."""
    return file.split("/")[1].removesuffix(".py")


def imported(source):
    """Yield every module that is imported, with dots; of `from a import b` it is a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def may_import(file, name):
    """Say whether a file may import a module of this name."""
    top, *inner = name.split(".")
    if not file.startswith("portproof/"):
        folder = next(folder for folder in FOLDERS if file.startswith(f"{folder}/"))
        names = FOLDERS[folder] | {folder.replace("/", ".")} | ALONE.get(file, set())
        return top not in HELD or f"{name}.".startswith(tuple(f"{name}." for name in names))
    if top != "portproof":
        return top in sys.stdlib_module_names | OUTSIDE | ALONE.get(file, set())
    return inner[:1] == [room_of(file)] or LEVEL[inner[0]] < LEVEL[room_of(file)]


def misplaced(file, source):
    """Return the imports of a file that its room or folder does not allow."""
    return [name for name in imported(source) if not may_import(file, name)]


@pytest.mark.parametrize("file", LIBRARY_FILES + files_in(*FOLDERS))
def test_a_file_imports_only_what_lies_below_it(file):
    assert not misplaced(file, (ROOT / file).read_text())


@pytest.mark.parametrize(
    ("file", "line", "is_right"),
    [
        ("portproof/core/a.py", "from portproof.worker import client", True),
        ("portproof/core/a.py", "from portproof.core.b import c", True),
        ("portproof/core/a.py", "from portproof import diagnose", False),
        ("portproof/checks/a.py", "import portproof.convert.tables", False),
        ("portproof/runs/a.py", "from portproof.system.errors import UserError", True),
        ("portproof/runs/a.py", "from portproof.files import state", False),
        ("portproof/system/a.py", "def f():\n    from common import draws", False),
        ("portproof/cli/a.py", "import train", False),
        ("portproof/worker/a.py", "from . import client", False),
        ("portproof/worker/a.py", "import torch", False),
        ("portproof/backends/torch.py", "from torch import nn", True),
        ("portproof/backends/torch.py", "import paddle", False),
        ("common/data/a.py", "from common.data.folder import b", True),
        ("common/data/a.py", "from common.training import args", False),
        ("common/data/a.py", "from common import networks", True),
        ("common/data/a.py", "import paddle", False),
        ("common/training/a.py", "from common.inference import metadata", False),
        ("common/inference/a.py", "import portproof.worker.client", False),
        ("AlexNet-torch/a.py", "from portproof.files import state", True),
        ("AlexNet-torch/a.py", "from portproof.checks import forward", False),
        ("AlexNet-torch/a.py", "from torchvision import io", True),
        ("AlexNet-torch/a.py", "from paddle import nn", False),
        ("course/a.py", "import torch", False),
        ("homework/a.py", "from experiments import curves", False),
    ],
)
def test_what_a_file_may_import(file, line, is_right):
    assert (not misplaced(file, line)) is is_right


def test_no_module_but_the_backends_imports_a_framework():
    files = [file for file in LIBRARY_FILES if file not in BACKENDS and room_of(file) != "__main__"]
    modules = [file[:-3].removesuffix("/__init__").replace("/", ".") for file in files]
    script = """
import importlib, json, sys
for name in json.loads(sys.argv[1]): importlib.import_module(name)
print(sorted({'torch', 'torchvision', 'paddle', 'common'} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", script, json.dumps(modules)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr


def test_each_folder_of_common_is_in_the_table():
    files = files_in("common")
    assert {file.rpartition("/")[0] for file in files} <= {"common", *FOLDERS}
    ground = {file for file in files if file.count("/") == 1} - {"common/__init__.py"}
    assert {file.removesuffix(".py").replace("/", ".") for file in ground} == GROUND


GENERAL = {"world_size"}  # the rule by which a recipe's rate is scaled has it


def defined(files):
    """Return the names of the functions and classes that files define."""
    trees = (ast.parse((ROOT / file).read_text()) for file in files)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def test_no_name_of_the_trees_stands_in_portproof():
    """As code or as text: names of several words, which are nobody else's."""
    trees = files_in("AlexNet-torch", "AlexNet-paddle", "common")
    names = defined(trees) - defined(LIBRARY_FILES) - GENERAL
    specific = {name for name in names if re.search(r"[^_]_+[^_]|[a-z][A-Z]", name)}
    assert {"index_data", "EpochBatches", "count_correct", "random_crop"} <= specific
    standing = re.compile(rf"\b({'|'.join(sorted(specific))})\b(?!-Prod)")  # AlexNet-Prod's logs
    standing_in = {file: standing.findall((ROOT / file).read_text()) for file in LIBRARY_FILES}
    assert {file: names for file, names in standing_in.items() if names} == {}
