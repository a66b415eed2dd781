"""The rest of the course: the counted network, exercises, notebooks, the site, the doctor."""

import json
import math
import os
import re
import shutil
import sys

import numpy as np
import pytest

from common.paths import ROOT
from course import architecture, compare_by_hand, figures, notebooks, plant, sources
from portproof.worker.client import Side
from tests.support import preloaded
from tests.support.helpers import FRAMEWORKS, assert_success, assert_user_error, run
from tools.project import PORTS

pytestmark = pytest.mark.usefixtures("warm_probes")
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
BY_DOCS = os.environ.get("DOCS_PYTHON", sys.executable)


def has_docs():
    return run(BY_DOCS, "-c", "import material, jieba").returncode == 0


def numbers(text):
    return re.findall(r"[\d,]*\d", text)


def tables(page):
    return re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", architecture.NETWORKS)
def test_the_tables_of_chapter_1_are_what_is_counted(name):
    _, layers, pixels = architecture.NETWORKS[name]
    table = architecture.table(architecture.count(layers, pixels), pixels)
    chapter = "01-read-the-paper.md"
    assert table + "\n" in tables(ROOT / "docs/en" / chapter)
    assert numbers(table) in [numbers(other) for other in tables(ROOT / "docs/zh" / chapter)]


def test_the_claims_of_chapter_1_are_checked():
    assert architecture.claims() + "\n" in tables(ROOT / "docs/en/01-read-the-paper.md")


def test_the_papers_network_is_counted():
    counted = architecture.count(architecture.PAPER, 227)
    neurons, parameters, _ = architecture.totals(counted)
    assert (neurons, parameters) == (659_272, 60_965_224)
    assert [row.shape for row in counted][-4:] == [(256, 6, 6), (4096,), (4096,), (1000,)]
    with pytest.raises(architecture.errors.UserError, match="too few for pool5"):
        architecture.count(architecture.PAPER, 50)


def test_the_trees_network_is_counted(framework, tmp_path):
    side = Side(framework, PORTS[framework])
    keys = side.ask(tmp_path / "asked", describe={})["describe"]["keys"]
    counted = architecture.count(architecture.ALEXNET, 224)
    for row in counted:
        size = sum(math.prod(key["shape"]) for key in keys if key["layer"] == row.layer.name)
        assert size == row.parameters, row.layer.name
    _, parameters, _ = architecture.totals(counted)
    assert parameters == sum(math.prod(key["shape"]) for key in keys) == 61_100_840


def test_the_architecture_is_drawn(tmp_path):
    architecture.draw("paper", tmp_path / "paper.png")
    assert (tmp_path / "paper.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["softmax-twice", "converters", "residual-block"])
def test_an_image_of_a_chapter_is_drawn(name, tmp_path):
    figures.main([str(tmp_path), "--only", name])
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]


def test_both_trees_draw_the_same_rates():
    torch, paddle = (figures.read_rates(name, ["--recipe", "sample"]) for name in FRAMEWORKS)
    assert len(torch) == figures.STEPS * figures.SAMPLE_EPOCHS
    assert abs(torch - paddle).max() < 1e-9


@pytest.mark.parametrize("name", plant.EXERCISES)
def test_an_exercise_is_planted_and_solved(name, tmp_path):
    plant.plant(name, tmp_path / "here")
    diff = plant.solution(name, tmp_path / "here")
    paddle = tmp_path / "here" / "AlexNet-paddle"
    if name == "right":
        assert diff == "your tree is right"
        plant.plant(name, tmp_path / "here")  # it may be there already
        return
    assert "\n+" in diff or "\n-" in diff
    shutil.rmtree(paddle)
    plant.right_tree(name, paddle)
    assert plant.solution(name, tmp_path / "here") == "your tree is right"
    with pytest.raises(plant.errors.UserError, match="is not empty"):
        plant.plant(name, tmp_path / "here")


def test_a_mended_tree_is_the_projects_own_but_small(tmp_path):
    plant.plant("loss", tmp_path / "here")
    text = (ROOT / "AlexNet-paddle" / "models/alexnet.py").read_text().replace("4096", "32")
    assert (tmp_path / "here/AlexNet-paddle/models/alexnet.py").read_text() == text


def test_plant_names_the_mistake(tmp_path):
    command = [sys.executable, "-m", "course.plant", "loss"]
    done = run(*command, PYTHONPATH=str(ROOT))
    assert_user_error(done, "loss: name a new folder")
    done = run(*command, tmp_path, "--solution", PYTHONPATH=str(ROOT))
    assert_user_error(done, "holds no exercise")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    assert not any(line.startswith(("!", "%")) for line in lines)


@pytest.mark.parametrize(
    "path",
    [*NOTEBOOKS[:1], *(pytest.param(path, marks=pytest.mark.seldom) for path in NOTEBOOKS[1:])],
    ids=lambda path: path.name,
)
def test_a_notebook_runs_from_top_to_bottom(path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(preloaded.interpreter("torch")))
    assert_success(notebooks.run(path))


def test_a_cell_that_raises_is_named(tmp_path):
    cells = [{"cell_type": "code", "source": ["x = 1"]}, {"cell_type": "code", "source": ["x / 0"]}]
    path = tmp_path / "bad.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    done = notebooks.run(path)
    assert done.returncode != 0 and 'File "cell 1"' in done.stderr


@pytest.mark.parametrize(("apart", "is_ok"), [(1e-7, True), (1e-4, False), (np.nan, False)])
def test_by_hand_logits_are_ok_or_not(apart, is_ok, capsys):
    logits = np.zeros((2, 10))
    assert compare_by_hand.compare(logits, logits + apart) is is_ok
    assert ("OK" if is_ok else "DIFFERENT") in capsys.readouterr().out


def test_equal_lines_stand_beside_each_other():
    blocks = sources.align(["a", "b", "c"], ["a", "x", "y", "c"])
    expected = [(True, (0, 1), (0, 1)), (False, (1, 2), (1, 3)), (True, (2, 3), (3, 4))]
    assert [(block.same, block.torch, block.paddle) for block in blocks] == expected


@pytest.mark.skipif(not has_docs(), reason="needs the extra [docs], or DOCS_PYTHON")
def test_the_site_is_built_and_needs_no_network(tmp_path):
    for path in ROOT.iterdir():
        if path.name not in (".venv", "site", "runs"):
            link = tmp_path / path.name
            shutil.copytree(path, link) if path.name == "scripts" else link.symlink_to(path)
    assert_success(run("bash", tmp_path / "scripts" / "docs.sh", DOCS_PYTHON=BY_DOCS))
    for language in ("en", "zh"):
        site = tmp_path / "site" / language
        for page in sources.pages(language):
            text = (site / page.with_suffix(".html").name).read_text()
            assert not re.findall(r"<(?:script|img|iframe)[^>]+src=\"?https?://", text), page
            assert not re.findall(r"<link[^>]+(?:stylesheet|icon)[^>]+https?://", text), page
            assert f"../{'zh' if language == 'en' else 'en'}/" in text
            for torch, paddle in sources.named_code(page.read_text()):
                assert f"{torch.file}:{torch.line}<" in text
                assert f"{paddle.file}:{paddle.line}<" in text
        assert (site / "search" / "search_index.js").is_file()
    assert (tmp_path / "site" / "index.html").is_file()


def test_docs_names_a_wrong_option():
    assert_user_error(run("bash", ROOT / "scripts" / "docs.sh", "--fast"), "no option --fast")


def test_the_doctor_finds_all_where_set_up_is_done():
    done = assert_success(run("bash", ROOT / "scripts" / "doctor.sh"))
    for words in ("ok        torch: torch ", "ok        paddle computes", "all is there"):
        assert words in done.stdout
    assert "MISSING" not in done.stdout


def test_the_doctor_names_what_is_missing(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    done = run("bash", tmp_path / "scripts" / "doctor.sh")
    assert done.returncode == 1
    assert "MISSING   .venv is not set up, or only half: bash scripts/setup.sh" in done.stdout
    assert "something is missing" in done.stdout
    assert_user_error(run("bash", tmp_path / "scripts" / "doctor.sh", "-x"), "no option -x")


def test_the_doctor_finds_a_pair_that_does_not_fit(tmp_path):
    metadata = tmp_path / "torchvision-0.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n")
    for name in ("torch", "torchvision", "paddle"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('operator nms does not exist')")
    done = run(sys.executable, ROOT / "scripts" / "doctor.py", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "MISSING   torch: torchvision 0.1 is not what pyproject.toml asks for" in done.stdout
    assert "MISSING   torch and torchvision fit each other: no" in done.stdout
    assert "nms does not exist" in done.stdout


def test_chapter_8_shows_each_solution(language, tmp_path):
    text = (ROOT / "docs" / language / "08-finding-the-fault.md").read_text()
    shown = re.findall(r"^```diff\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    names = [name for name in plant.EXERCISES if name != "right"]
    assert len(shown) == len(names)
    for name, diff in zip(names, shown, strict=True):
        plant.plant(name, tmp_path / name)
        assert diff == plant.solution(name, tmp_path / name).rstrip(), name


def test_chapter_8_names_the_line_of_each_fault(language, tmp_path):
    text = (ROOT / "docs" / language / "08-finding-the-fault.md").read_text()
    answers = re.findall(r"^  fix: exercises/(\w+)/(\S+?):(\d+): .* in `(.*)`$", text, re.MULTILINE)
    # `forward` is answered by a function, without a line.
    assert {name for name, *_ in answers} == set(plant.EXERCISES) - {"right", "forward"}
    for name, file, line, code in answers:
        plant.plant(name, tmp_path / name)
        lines = (tmp_path / name / file).read_text().splitlines()
        assert lines[int(line) - 1].strip() == code, f"{name}: {file}:{line}"
