import pytest

from tests.helpers import make_folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """Three classes, 18 train and 12 val pictures of about 100 pixels; to be read only."""
    return make_folder(tmp_path_factory.mktemp("data") / "small")
