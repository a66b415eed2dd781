"""The measuring of how costs grow does what it says."""

import math

import pytest
from PIL import Image

from benchmarks import scale
from common.data.folder import index_data
from common.paths import ROOT


@pytest.mark.parametrize(("classes", "images"), [(3, 3), (2, 7), (5, 1)])
def test_the_made_up_folder_is_one(tmp_path, classes, images):
    scale.make_images(tmp_path, classes, images)
    train, val = index_data(tmp_path)
    each = math.ceil(images / classes)
    assert (len(train.classes), len(train), len(val)) == (classes, classes * each, classes)


def test_rows_are_kept_and_drawn(tmp_path):
    committed = ROOT / "docs" / "results" / "scale.csv"
    rows = scale.read_rows(committed)
    assert {row["axis"] for row in rows} == set(scale.AXES)
    scale.write_rows(tmp_path / "scale.csv", rows)
    assert (tmp_path / "scale.csv").read_text() == committed.read_text()
    scale.draw(tmp_path / "scale.png", rows)
    with Image.open(tmp_path / "scale.png") as image:
        assert image.width > image.height > 300
    assert scale.read_rows(tmp_path / "none.csv") == []
