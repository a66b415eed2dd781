"""Names of classes, files and layers are text in every page, whatever they hold."""

import base64
import os
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from common.data.folder import index_split
from common.training import misclassified
from portproof.checks.forward import Result
from portproof.core.findings import Cause, Difference
from portproof.core.streams import Sample
from portproof.core.tensor_compare import Row
from portproof.core.verdict import DIVERGED, ERROR, Verdict
from portproof.report import align, data, forward, html, sample_image
from portproof.report.html import Section
from portproof.system.errors import UserError

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


def page_of_mistakes(folder):
    for name in (SCRIPT, "plain"):
        (folder / "val" / name).mkdir(parents=True)
        for file in (IMAGE, BYTES):
            Image.new("RGB", (8, 8)).save(folder / "val" / name / file)
    index, wrong = index_split(folder, "val"), np.array([1, 1, 0, 0])
    misclassified.write_page(folder / "page.html", index, wrong, np.full(4, 0.5, np.float32))
    return folder / "page.html"


def hostile_verdicts():
    details = [{"title": SCRIPT, "text": IMAGE}, {"title": IMAGE, "table": [NAMES, NAMES]}]
    details.append({"title": IMAGE, "png": b"\x89PNG"})
    verdict = Verdict("data", DIVERGED, details=details)
    verdict.where, verdict.cause, verdict.fix = NAMES
    return [verdict, Verdict("train_data", ERROR, why=" ".join(NAMES))]


def page_of_data(folder):
    return data.write(folder, hostile_verdicts(), {"torch": IMAGE})[0]


def page_of_all_checkpoints(folder):
    report = {"aligned": False, "first_divergence": " ".join(NAMES), "versions": {"torch": IMAGE}}
    return align.write_page(folder, report, hostile_verdicts())[0]


def page_of_the_forward_pass(folder):
    far, near = Difference(1.0, 1.0, 1.0), Difference(0.0, 0.0, 0.0)
    odd = Difference(float("inf"), float("inf"), float("inf"), IMAGE)
    rows = [Row(name, "$\\frac", SCRIPT, [1], odd, near, verdict="differs") for name in NAMES]
    rows.append(Row("a$b$\\c{", None, "Linear", [1], far, far, verdict="same"))
    result = Result(False, [Cause(*NAMES)], rows[0], SCRIPT, {IMAGE: rows})
    result.notes, result.weights, result.versions = NAMES, IMAGE, {"torch": SCRIPT}
    return forward.write_page(folder, result)[0]


PAGES = [page_of_mistakes, page_of_data, page_of_all_checkpoints, page_of_the_forward_pass]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_text(tmp_path, page):
    assert_text(page(tmp_path), SCRIPT, IMAGE)


@pytest.mark.parametrize("name", [*NAMES, "a$b$\\frac{.png", "line\nbreak.png"])
def test_captions_take_any_name(name):
    sample = (np.zeros((3, 8, 8), np.float32), name, 0, name)
    right, other = Sample("PyTorch", *sample), Sample("PaddlePaddle", *sample)
    assert sample_image.draw(right, other).startswith(b"\x89PNG")


def written(tmp_path, *arguments, **options):
    [path] = html.write_files(tmp_path, {"page.html": html.report(*arguments, **options)})
    return Page(path)


def attributes_of(page, tag):
    return [attributes for name, attributes in page.elements if name == tag]


def test_a_page_says_its_verdict_and_the_cause_before_its_blocks(tmp_path):
    blocks = [{"title": "Table", "table": [["a"], ["1"]]}]
    causes = [("conv1", "padding", "set it"), ("fc", "no bias", "")]
    head = Section("Forward", "diverged", "first at conv1", causes, blocks)
    page = written(tmp_path, head, notes=["versions"])
    order = ["Forward", "diverged", "first at conv1", "conv1: padding", "fix: set it"]
    shown = [page.text.index(part) for part in [*order, "fc: no bias", "Table", "versions"]]
    assert shown == sorted(shown) and page.text.count("fix:") == 1
    assert {"class": "badge diverged"} in attributes_of(page, "span")


def test_a_page_shows_blocks_of_each_kind(tmp_path):
    blocks = [
        {"title": "", "text": "first line\nsecond line"},
        {"title": "plot", "png": b"\x89PNG rest"},
        {"title": "numbers", "table": [["layer", "verdict", "max"], ["fc", "not run", "1.0e-7"]]},
    ]
    page = written(tmp_path, Section("Blocks", blocks=blocks))
    assert "first line\nsecond line" in page.text
    source = "data:image/png;base64," + base64.b64encode(b"\x89PNG rest").decode()
    assert attributes_of(page, "img") == [{"alt": "plot", "src": source}]
    assert {"class": "not-run"} in attributes_of(page, "tr")  # the row has the verdict's colour
    assert [cell["class"] for cell in attributes_of(page, "td")] == ["", "word", "figure"]
    assert [tag for tag, _ in page.elements].count("h3") == 2  # a block without a title has none


def test_figures_stand_flush_right_whatever_is_missing_among_them():
    columns = {
        "figure": ["1.0e-16", None, "nan", "-inf", "-", ""],
        "count": ["10", "2,798,696", "+0.5", "±0.15", "80 %", "-3"],
        "text": ["1", "2", "3", "4", "5", "2x64x55x55"],
        "missing": [None, "-", "", None, "-", ""],
    }
    table = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    assert html.figure_columns(table) == [True, True, False, False]
    assert html.figure_columns([["a", "b"]]) == [False, False]


def test_missing_values_and_nan_are_shown(tmp_path):
    table = [["name", "figure"], ["none", None], ["not a number", float("nan")], ["empty", ""]]
    page = written(tmp_path, Section("Missing", blocks=[{"title": "", "table": table}]))
    words = [word for word in page.text.split() if word.endswith(("-", "nan"))]
    assert words == ["none-", "numbernan"]


def test_folded_sections_hide_what_is_aligned(tmp_path):
    folded = {"aligned": True, "diverged": False, "heading": None}
    sections = [Section(name, folded=is_folded) for name, is_folded in folded.items()]
    page = written(tmp_path, Section("Sections"), sections)
    assert attributes_of(page, "details") == [{}, {"open": None}]
    assert [tag for tag, _ in page.elements].count("h2") == 1


def test_a_report_that_cannot_be_written_is_one_line_and_leaves_the_old_page(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(UserError, match="cannot be written"):
        html.write_files(tmp_path / "file", {"page.html": "new"})
    assert (tmp_path / "file").read_text() == "old"


def test_names_that_are_no_unicode_are_written_as_an_escape(tmp_path):
    page = written(tmp_path, Section("Names", summary=f"{NAMES[2]} {SCRIPT}"))
    assert "\\udcff" in page.text and SCRIPT in page.text
