import pytest

from tests.helpers import make_folder


def pytest_addoption(parser):
    parser.addoption(
        "--all-faults",
        action="store_true",
        help="plant every fault, not only one or two of each kind (many minutes more)",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "seldom: a planted fault that runs with --all-faults only")


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
