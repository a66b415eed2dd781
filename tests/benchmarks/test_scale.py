"""What is computed on paper, and that the measuring of how costs grow does what it says."""

import math
import re
import shlex

import pytest
from PIL import Image

from benchmarks import paper, scale
from benchmarks.paper import Job, Rates
from common.data.folder import index_data
from common.paths import ROOT

SMALL, LARGE = paper.JOBS
PLENTY = Rates(gpu=1e9, decode=1e9, storage=1e20, link=1e20, network=1e20)


def test_the_last_layer_alone_knows_the_classes():
    assert paper.parameters(1_000) == 61_100_840
    assert paper.parameters(10) == 57_044_810
    assert paper.parameters(21_841) == 61_100_840 + 20_841 * 4_097


def test_hours_and_bytes_are_those_of_the_slowest_part():
    found = paper.estimate(SMALL, 1, Rates(gpu=1_000, decode=400))
    assert found.bottleneck == "computing" and found.images_per_s == 1_000
    assert found.hours == pytest.approx(1_281_167 * 90 / 1_000 / 3600)
    assert found.bytes_per_s == 110e6 and found.cores == 2.5 and found.gradient_bytes == 0


@pytest.mark.parametrize(
    ("part", "rates", "speed"),
    [
        ("computing", PLENTY._replace(gpu=100), 800),
        ("decoding", PLENTY._replace(decode=10, cores=3), 240),
        ("reading", PLENTY._replace(storage=110_000 * 7), 7),
        ("gradients", PLENTY._replace(link=61_100_840 * 7, batch=5), 40),  # a second a step
    ],
)
def test_each_part_can_be_the_bottleneck(part, rates, speed):
    found = paper.estimate(SMALL, 8, rates)
    assert (found.bottleneck, round(found.images_per_s)) == (part, speed)


def test_the_network_counts_only_between_machines():
    rates = PLENTY._replace(network=1)
    assert paper.estimate(SMALL, 8, rates).bottleneck == "computing"
    assert paper.estimate(SMALL, 9, rates).bottleneck == "gradients"
    # each machine reads for itself
    slow = PLENTY._replace(storage=110_000)
    assert [paper.estimate(SMALL, gpus, slow).images_per_s for gpus in (8, 9, 64)] == [1, 2, 8]


def test_more_classes_compute_and_send_more():
    one, many = (paper.limits(job, 8, PLENTY) for job in (SMALL, LARGE))
    assert many["computing"] < one["computing"] and many["gradients"] < one["gradients"]
    assert many["reading"] == one["reading"]
    same = Job("as many classes", 1, 1_000, 1)
    assert paper.limits(same, 8, PLENTY)["computing"] == 8e9


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "many"])
def test_a_rate_that_is_none_is_refused(value, capsys):
    with pytest.raises(SystemExit) as left:
        paper.parse(["--decode-rate", "1", "--gpu-rate", value])
    assert left.value.code == 2 and "no number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["en/scale.md", "zh/scale.md"])
def test_the_tables_of_the_page_are_what_its_commands_print(page):
    text = (ROOT / "docs" / page).read_text()
    found = re.findall(r"python -m benchmarks\.paper (.+)\n```\n\n((?:\|.*\n)+)", text)
    assert len(found) >= 2
    for options, table in found:
        assert table.strip() == paper.table(paper.parse(shlex.split(options)))


def test_the_pages_name_the_measured_decode_rate():
    rows = scale.read_rows(ROOT / "docs" / "results" / "scale.csv")
    (rate,) = [
        row["images_per_s"]
        for row in rows
        if (row["axis"], row["framework"]) == ("reading", "torch")
    ]
    for page in ("en/scale.md", "zh/scale.md"):
        text = (ROOT / "docs" / page).read_text()
        assert set(re.findall(r"--decode-rate (\S+)", text)) == {f"{rate:.0f}"}


@pytest.mark.parametrize(("classes", "images"), [(3, 3), (2, 7), (5, 1)])
def test_the_made_up_folder_is_one(tmp_path, classes, images):
    scale.make_images(tmp_path, classes, images)
    train, val = index_data(tmp_path)
    each = math.ceil(images / classes)
    assert (len(train.classes), len(train), len(val)) == (classes, classes * each, classes)


def test_rows_are_kept_and_drawn(tmp_path):
    committed = ROOT / "docs" / "results" / "scale.csv"
    rows = scale.read_rows(committed)
    assert {row["axis"] for row in rows} >= set(scale.PANELS)
    scale.write_rows(tmp_path / "scale.csv", rows)
    assert (tmp_path / "scale.csv").read_text() == committed.read_text()
    scale.draw(tmp_path / "scale.png", rows)
    with Image.open(tmp_path / "scale.png") as image:
        assert image.width > image.height > 300
    assert scale.read_rows(tmp_path / "none.csv") == []
