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
    ("system",),
    ("port", "files", "numeric", "runs"),
    ("networks",),
    ("weights",),
    ("backends",),
    ("worker",),
    ("core",),
    ("diagnose",),
    ("checks", "convert"),
    ("report",),
    ("api",),
    ("cli",),
    ("__init__", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# What pyproject.toml asks for. So no module of this repository, of a tree or of a framework is.
OUTSIDE = {"jinja2", "matplotlib", "numpy", "PIL", "safetensors", "scipy"}
BACKENDS = {"backends/torch.py": {"torch"}, "backends/paddle.py": {"paddle"}}
FILES = sorted(
    path.relative_to(ROOT / "portproof").as_posix() for path in ROOT.glob("portproof/**/*.py")
)


def room_of(file):
    return file.partition("/")[0].removesuffix(".py")


def imported(source):
    """Yield every module that is imported, with dots; of `from a import b` it is a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def misplaced(file, source):
    """Return the imports of a file below portproof/ that its room does not allow."""
    room = room_of(file)
    wrong = []
    for name in imported(source):
        top, *inner = name.split(".")
        if top == "portproof":
            is_right = inner[:1] == [room] or LEVEL[inner[0]] < LEVEL[room]
        else:
            is_right = top in sys.stdlib_module_names | OUTSIDE | BACKENDS.get(file, set())
        if not is_right:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("file", FILES)
def test_a_room_imports_only_rooms_below_it(file):
    assert not misplaced(file, (ROOT / "portproof" / file).read_text())


@pytest.mark.parametrize(
    ("file", "line", "is_right"),
    [
        ("core/a.py", "from portproof.worker import client", True),
        ("core/a.py", "from portproof.core.b import c", True),
        ("core/a.py", "from portproof import diagnose", False),
        ("checks/a.py", "import portproof.convert.tables", False),
        ("runs/a.py", "from portproof.system.errors import UserError", True),
        ("runs/a.py", "from portproof.files import state", False),
        ("system/a.py", "def f():\n    from common import draws", False),
        ("cli/a.py", "import train", False),
        ("worker/a.py", "from . import client", False),
        ("worker/a.py", "import torch", False),
        ("backends/torch.py", "from torch import nn", True),
        ("backends/torch.py", "import paddle", False),
    ],
)
def test_what_a_room_may_import(file, line, is_right):
    assert (not misplaced(file, line)) is is_right


def test_no_module_but_the_backends_imports_a_framework():
    modules = [
        "portproof." + file.removesuffix(".py").removesuffix("__init__").replace("/", ".")
        for file in FILES
        if file not in BACKENDS and room_of(file) != "__main__"
    ]
    script = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name.rstrip('.'))\n"
        "print(sorted({'torch', 'torchvision', 'paddle', 'common'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script, json.dumps(modules)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr


# Of the repository: what the files of a folder import of it beside their own folder. Below the
# rooms of common lie `networks`, `paths`, `tables`; of portproof it needs what any project could.
LIBRARY = {f"portproof.{room}" for room in ("system", "files", "numeric", "report", "runs")}
GROUND = {"common.networks", "common.paths", "common.tables"}
FOLDERS = {
    "common/data": GROUND | LIBRARY,
    "common/training": GROUND | LIBRARY | {"common.data"},
    "common/inference": GROUND | LIBRARY | {"common.data", "common.training"},
    "AlexNet-torch": {"common", *LIBRARY},
    "AlexNet-paddle": {"common", *LIBRARY},
    "examples": {"common", *LIBRARY},
    "tools": {"common", "portproof", "experiments"},
    "benchmarks": {"common", "portproof", "tools"},
    "experiments": {"common", "portproof", "tools"},
    "homework": {"common", "portproof", "tools"},
    "course": {"common", "portproof", "tools", "tests"},  # exercises are the tests' planted faults
    "scripts": {"common", "portproof", "experiments"},
}
REPOSITORY = {
    "benchmarks",
    "common",
    "course",
    "experiments",
    "homework",
    "portproof",
    "tests",
    "tools",
}


def out_of_place(file, source):
    """Return the imports of the repository in a file that its folder does not allow."""
    folder = next(name for name in FOLDERS if file.startswith(f"{name}/"))
    allowed = tuple(f"{name}." for name in FOLDERS[folder] | {folder.replace("/", ".")})
    return [
        name
        for name in imported(source)
        if name.partition(".")[0] in REPOSITORY and not f"{name}.".startswith(allowed)
    ]


@pytest.mark.parametrize(
    "file",
    [
        path.relative_to(ROOT).as_posix()
        for name in FOLDERS
        for path in ROOT.glob(f"{name}/**/*.py")
    ],
)
def test_a_folder_imports_of_the_repository_only_what_lies_below_it(file):
    assert not out_of_place(file, (ROOT / file).read_text())


@pytest.mark.parametrize(
    ("file", "line", "is_right"),
    [
        ("common/data/a.py", "from common.data.folder import b", True),
        ("common/data/a.py", "from common.training import args", False),
        ("common/data/a.py", "from common import networks", True),
        ("common/training/a.py", "from common.inference import metadata", False),
        ("common/inference/a.py", "import portproof.worker.client", False),
        ("AlexNet-torch/a.py", "from portproof.files import state", True),
        ("AlexNet-torch/a.py", "from portproof.checks import forward", False),
        ("homework/a.py", "from experiments import curves", False),
    ],
)
def test_what_a_folder_may_import(file, line, is_right):
    assert (not out_of_place(file, line)) is is_right


def test_each_folder_of_common_is_in_the_table():
    inside = {path.relative_to(ROOT).parent.as_posix() for path in ROOT.glob("common/**/*.py")}
    assert inside <= {"common", *FOLDERS}
    ground = {path.stem for path in ROOT.glob("common/*.py")} - {"__init__"}
    assert {f"common.{name}" for name in ground} == GROUND


TREES = [
    file
    for name in ("AlexNet-torch", "AlexNet-paddle", "common")
    for file in ROOT.glob(f"{name}/**/*.py")
]
# The rule by which a recipe's rate is scaled has the one; the contract of a port has the other.
GENERAL = {"world_size", "first_sample"}


def defined(files):
    """Return the names of the functions and classes that files define."""
    trees = (ast.parse(file.read_text()) for file in files)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def test_no_name_of_the_trees_stands_in_portproof():
    """As code or as text: names of several words, which are nobody else's."""
    sources = [ROOT / "portproof" / file for file in FILES]
    names = defined(TREES) - defined(sources) - GENERAL
    specific = {name for name in names if re.search(r"[^_]_+[^_]|[a-z][A-Z]", name)}
    assert {"index_data", "EpochBatches", "count_correct", "random_crop"} <= specific
    standing = re.compile(rf"\b({'|'.join(sorted(specific))})\b(?!-Prod)")  # AlexNet-Prod's logs
    texts = {file: file.read_text() for file in sources}
    assert {
        file.name: found for file, text in texts.items() if (found := standing.findall(text))
    } == {}
