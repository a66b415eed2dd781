import os

import pytest

from common.paths import ROOT
from portproof.system.processor import available_cores
from portproof.worker import client
from tests.support import warm
from tests.support.helpers import FRAMEWORKS, make_folder, run_warm
from tests.support.mains import run_mains
from tests.support.trees import SMALL, copy_tree


def pytest_addoption(parser):
    parser.addoption(
        "--all-faults",
        action="store_true",
        help="plant every fault, not only one or two of each kind (many minutes more)",
    )


def pytest_configure(config):
    # Two files at a time, or a file whose tests run both frameworks at a time, share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(available_cores() // 2, 1)))
    warm.environment |= os.environ
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
    """Three classes, 18 train and 12 val images of about 100 pixels; to be read only."""
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
        done = run_warm(framework, "-c", program, PYTHONPATH=path, **environment)
        assert done.returncode == 0, done.stderr
        return done

    return call


@pytest.fixture(scope="module", autouse=True)
def same_settings():
    """A file of tests leaves the environment as it was: else those after it run otherwise."""
    before = dict(os.environ)
    yield
    after = {name: value for name, value in os.environ.items() if name not in warm.FREE}
    changed = {name for name in after if before.get(name) != after[name]}
    changed |= {name for name in before if name not in os.environ} - warm.FREE
    assert not changed


@pytest.fixture(scope="module")
def warm_probes():
    """The tools' probes have their framework imported as they start (tests/support/warm.py)."""
    with pytest.MonkeyPatch.context() as patch:
        for framework in FRAMEWORKS:
            name = f"{framework.upper()}_PYTHON"
            if name not in os.environ:
                patch.setenv(name, str(warm.interpreter(framework)))
        yield


@pytest.fixture(scope="module")
def kept_probes(warm_probes):
    """And they start once for all tests of a file, as far as the trees are the same."""
    with client.kept_running():
        yield


@pytest.fixture(scope="session")
def small_trees(tmp_path_factory):
    """Copies of both trees with small hidden layers, by framework; to be read only."""
    place = tmp_path_factory.mktemp("trees")
    return {name: copy_tree(name, place / f"AlexNet-{name}", SMALL) for name in FRAMEWORKS}
