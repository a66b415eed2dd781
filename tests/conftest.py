import os
import sys

import pytest

from common.paths import ROOT
from tests.helpers import FRAMEWORKS, make_folder, run
from tests.mains import run_mains
from tests.trees import SMALL, copy_tree


def pytest_addoption(parser):
    parser.addoption(
        "--all-faults",
        action="store_true",
        help="plant every fault, not only one or two of each kind (many minutes more)",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "seldom: takes long, or is one fault of many; runs with --all-faults only"
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--all-faults"):
        return
    left_out = [item for item in items if item.get_closest_marker("seldom")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """Three classes, 18 train and 12 val pictures of about 100 pixels; to be read only."""
    return make_folder(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session", params=FRAMEWORKS)
def small_run(request, small_folder, tmp_path_factory):
    """A tree with small hidden layers and a run of one epoch: (framework, tree, run folder)."""
    framework = request.param
    place = tmp_path_factory.mktemp(f"small-{framework}")
    tree = copy_tree(framework, place / f"AlexNet-{framework}", SMALL)
    (done,) = run_mains(
        tree,
        place,
        (
            "train",
            [
                "--data-path", small_folder, "--recipe", "sample", "--image-size", 64,
                "--epochs", 1, "--warmup-epochs", 0, "--batch-size", 6, "--workers", 0,
                "--output-dir", place / "run",
            ],
        ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return framework, tree, place / "run"


@pytest.fixture(scope="session")
def run_in_tree():
    """A function that runs a program, a text, in a process that has one tree on its path."""

    def call(framework, program, **environment):
        path = os.pathsep.join([str(ROOT / f"AlexNet-{framework}"), str(ROOT)])
        done = run(sys.executable, "-c", program, PYTHONPATH=path, **environment)
        assert done.returncode == 0, done.stderr
        return done

    return call
