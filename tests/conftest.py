import os
import shutil
import signal

import pytest

from common.paths import ROOT
from portproof.system.processor import available_cores
from portproof.worker import client
from tests.support import preloaded
from tests.support.helpers import FRAMEWORKS, assert_success, make_folder, run_warm
from tests.support.odd_images import write_odd_images
from tests.support.trees import SMALL, TINY, copy_tree, run_train


def pytest_addoption(parser):
    message = "plant every fault, not only one or two of each kind (many minutes more)"
    parser.addoption("--all-faults", action="store_true", help=message)


def pytest_configure(config):
    # Two files at a time, or a file whose tests run both frameworks at a time, share the cores.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(max(available_cores() // 2, 1)))
    preloaded.environment |= os.environ
    # A shell that starts the tests in the background has them ignore Ctrl-C, and all they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    marker = "seldom: takes long, or is one fault of many; runs with --all-faults only"
    config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--all-faults"):
        return
    left_out = [item for item in items if item.get_closest_marker("seldom")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """Three classes, 18 train and 12 val images of about 100 pixels; to be read only."""
    return make_folder(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session")
def odd_folder(tmp_path_factory):
    """Two classes of JPEG files and one of every mode and shape; to be read only."""
    folder = make_folder(tmp_path_factory.mktemp("data") / "odd", classes=2, train=3, val=2)
    write_odd_images(folder / "train" / "odd")
    shutil.copytree(folder / "train" / "odd", folder / "val" / "odd")
    return folder


@pytest.fixture
def images(small_folder, tmp_path):
    """A copy of the small folder, to be changed."""
    return shutil.copytree(small_folder, tmp_path / "images")


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    """Has a test run for either framework."""
    return request.param


@pytest.fixture(params=["en", "zh"])
def language(request):
    """Has a test run for the pages of either language."""
    return request.param


@pytest.fixture(scope="session", params=FRAMEWORKS)
def small_run(request, small_folder, small_trees, tmp_path_factory):
    """A tree with small hidden layers and a run of one epoch: (framework, tree, run folder)."""
    framework, tree = request.param, small_trees[request.param]
    run = tmp_path_factory.mktemp(f"small-{framework}") / "run"
    options = [*TINY, "--image-size", 64, "--data-path", small_folder, "--output-dir", run]
    assert_success(run_train(framework, *options, tree=tree))
    return framework, tree, run


@pytest.fixture(scope="session")
def run_in_tree():
    """A function that runs a program, a text, in a process that has one tree on its path."""

    def call(framework, program, **environment):
        path = os.pathsep.join([str(ROOT / f"AlexNet-{framework}"), str(ROOT)])
        return assert_success(run_warm(framework, "-c", program, PYTHONPATH=path, **environment))

    return call


@pytest.fixture(scope="module", autouse=True)
def same_settings():
    """A file of tests leaves the environment as it was: else those after it run otherwise."""
    before = preloaded.settings(os.environ)
    yield
    assert preloaded.settings(os.environ) == before


@pytest.fixture(scope="module")
def warm_probes():
    """The tools' probes have a framework imported as they start: tests/support/preloaded.py."""
    with pytest.MonkeyPatch.context() as patch:
        for framework in FRAMEWORKS:
            name = f"{framework.upper()}_PYTHON"
            if name not in os.environ:
                patch.setenv(name, str(preloaded.interpreter(framework)))
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
