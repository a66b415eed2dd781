"""Names of classes, files and layers are text in every page, whatever they hold."""

import os
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from common import mistakes
from common.folder import index_split
from tools import align_report, data_pictures, data_report, forward_report
from tools.findings import Cause
from tools.forward import Result
from tools.layerwise import Difference, Row
from tools.verdicts import DIVERGED, ERROR, Verdict

SCRIPT = "<script>alert(1)<"  # no slash: it can be the name of a folder
IMAGE = "\"'><img src=x onerror=alert(2)>&lt;.png"
BYTES = os.fsdecode(b"\xff") + ".png"  # no UTF-8
NAMES = [SCRIPT, IMAGE, "\udcff"]


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def assert_text(path, *shown):
    page = Page(path)
    assert "script" not in {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert tag != "img" or attributes["src"].startswith("data:image/"), attributes
    for name in shown:
        assert name in page.text


def test_the_page_of_mistakes(tmp_path):
    for name in (SCRIPT, "plain"):
        folder = tmp_path / "val" / name
        folder.mkdir(parents=True)
        for file in (IMAGE, BYTES):
            Image.new("RGB", (8, 8)).save(folder / file)
    index = index_split(tmp_path, "val")
    wrong = np.array([1, 1, 0, 0])
    mistakes.write_page(tmp_path / "page.html", index, wrong, np.full(4, 0.5, np.float32))
    assert_text(tmp_path / "page.html", SCRIPT, IMAGE)


def hostile_verdicts():
    table = [NAMES, NAMES]
    details = [{"title": SCRIPT, "text": IMAGE}, {"title": IMAGE, "table": table}]
    details.append({"title": IMAGE, "png": b"\x89PNG"})
    found = Verdict("data", DIVERGED, details=details)
    found.where, found.cause, found.fix = NAMES
    return [found, Verdict("train_data", ERROR, why=" ".join(NAMES))]


def test_the_page_of_data(tmp_path):
    data_report.write(tmp_path, hostile_verdicts(), {"torch": IMAGE})
    assert_text(tmp_path / "data.html", SCRIPT, IMAGE)


def test_the_page_of_all_checkpoints(tmp_path):
    found = {"aligned": False, "first_divergence": " ".join(NAMES), "versions": {"torch": IMAGE}}
    path = align_report.write_page(tmp_path, found, hostile_verdicts())
    assert_text(path, SCRIPT, IMAGE)


def test_the_page_of_the_forward_pass(tmp_path):
    far, near = Difference(1.0, 1.0, 1.0), Difference(0.0, 0.0, 0.0)
    odd = Difference(float("inf"), float("inf"), float("inf"), IMAGE)
    rows = [Row(name, "$\\frac", SCRIPT, [1], odd, near, verdict="differs") for name in NAMES]
    rows.append(Row("a$b$\\c{", None, "Linear", [1], far, far, verdict="same"))
    found = Result(False, [Cause(*NAMES)], rows[0], SCRIPT, {IMAGE: rows})
    found.notes, found.weights, found.versions = NAMES, IMAGE, {"torch": SCRIPT}
    assert_text(forward_report.write_page(tmp_path, found), SCRIPT, IMAGE)


@pytest.mark.parametrize("name", [*NAMES, "a$b$\\frac{.png", "line\nbreak.png"])
def test_captions_take_any_name(name):
    class Stream:
        labels, classes, paths = [0], [name], [name]

        def __init__(self, name):
            self.name = name

        def image(self, _):
            return np.zeros((3, 8, 8))

        def images(self, _):
            return np.zeros((1, 3, 8, 8))

    class Streams:
        right, other = Stream("PyTorch"), Stream("PaddlePaddle")

    assert data_pictures.draw(Streams(), 0, 0).startswith(b"\x89PNG")
