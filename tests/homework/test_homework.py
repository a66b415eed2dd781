"""The homework: a right port has all points, and a mistake costs those of its checkpoint."""

import json
import re
import shutil
import sys

import pytest

from common.paths import ROOT
from homework import check, hints, rules, start, trees
from homework.plan import POINTS, Drawn
from tests.project.test_layers import imported
from tests.support.helpers import assert_success, assert_user_error, call, run
from tests.support.homework_port import files_of, port, write_port
from tests.support.planted_homework import FORBIDDEN, SELDOM_TOGETHER, SPELLINGS, TOGETHER, WRONG

SEED = 5  # of all that is drawn, so that PyTorch's side has to be made once
IMPORTED = [("*.py", {"torch", "paddle"}), ("ResNet-torch/**/*.py", {"paddle"})]
IMPORTED += [("starter/**/*.py", {"torch"})]
USAGE = [
    (check.main, ["no"], ["no such folder", "homework.start"]),
    (check.main, ["."], ["has no models/resnet.py", "homework.start"]),
    (check.main, [".", "--only", "forwards"], ["no checkpoint", "forward"]),
    (check.main, [], ["DIR"]),
    (start.main, ["."], ["is there already"]),
]
SELDOM = [*SELDOM_TOGETHER, *((name,) for name in WRONG)]
# Where a mistake may be pointed at beside the file that has it: who calls it, or whom it calls.
LOOKED_AT = ["metric.py", "loop.py", "models/resnet.py"]


@pytest.fixture(scope="module")
def torch_sides(tmp_path_factory, kept_probes):
    folder = tmp_path_factory.mktemp("torch")
    files = {name: trees.TORCH / name for name in trees.FILES}
    widths = (Drawn.of(SEED).width, None)
    return {width: trees.assemble("torch", folder / str(width), files, width) for width in widths}


@pytest.fixture
def grade(torch_sides, tmp_path, capsys):
    """Grade a folder; return exit status, the checkpoints of the JSON by name, and the text."""

    def call(folder, *options):
        file = tmp_path / "grade.json"
        argv = [folder, "--seed", SEED, "--json", file, *options]
        status = check.main([str(word) for word in argv], torch_sides)
        report = json.loads(file.read_text())
        checkpoints = {grade["name"]: grade for grade in report["checkpoints"]}
        assert report["passed"] == (status == 0)
        assert report["points"] == sum(grade["points"] for grade in checkpoints.values())
        return status, checkpoints, capsys.readouterr().out

    return call


def names_of(grades: dict, verdict: str) -> set[str]:
    return {name for name, graded in grades.items() if graded["verdict"] == verdict}


def hold(grades: dict, text: str, faults: tuple[str, ...]) -> None:
    """Hold a grading to what is expected of a port with these mistakes."""
    expected = dict.fromkeys(POINTS, "passed")
    for _, checkpoint, _, waiting in (WRONG[name] for name in faults):
        expected |= dict.fromkeys(waiting, "waits") | {checkpoint: "not yet"}
    assert {name: grade["verdict"] for name, grade in grades.items()} == expected, text
    for name, grade in grades.items():
        assert grade["points"] == (POINTS[name] if expected[name] == "passed" else 0)
    for edits, checkpoint, words, _ in (WRONG[name] for name in faults):
        grade = grades[checkpoint]
        said = f"{grade['place']} {grade['cause']} {grade['where']}"
        assert all(word in said for word in words), f"{words}: {said}"
        assert grade["hint"] and any(file in grade["where"] for file in files_of(edits) + LOOKED_AT)
    assert_no_answer(text)


def assert_no_answer(text: str) -> None:
    """Hold a grading's words to saying nothing of the code of a right port."""
    for name in trees.FILES:
        known = (trees.STARTER / name).read_text() + (trees.TORCH / name).read_text()
        for line in map(str.strip, port(name).splitlines()):
            assert len(line) < 12 or line in known or line not in text, line


def test_a_right_port_has_all_points(grade, tmp_path):
    status, grades, text = grade(write_port(tmp_path / "port"))
    assert status == 0, text
    assert sum(graded["points"] for graded in grades.values()) == sum(POINTS.values()) == 100
    assert "points: 100 of 100" in text


@pytest.mark.seldom
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_right_port_in_another_spelling_has_all_points(grade, tmp_path, name):
    status, _, text = grade(write_port(tmp_path / "port", SPELLINGS[name]))
    assert status == 0, text


@pytest.mark.seldom
@pytest.mark.parametrize("seed", range(3))
def test_a_right_port_has_all_points_whatever_is_drawn(tmp_path, seed):
    assert check.main([str(write_port(tmp_path / "port")), "--seed", str(seed)]) == 0


def test_the_starter_has_no_points_as_the_chapter_says(grade, tmp_path, capsys):
    start_command, wrote, check_command, shown = blocks("en")
    name = start_command.split()[-1]
    assert f"homework.check {name} --only" in check_command
    folder = tmp_path / name
    start.main([str(folder)])
    assert wrote in capsys.readouterr().out.replace(f"{tmp_path}/", "")
    status, grades, text = grade(folder)
    assert status == 1 and "points: 0 of 100" in text
    for checkpoint, graded in grades.items():
        assert graded["verdict"] == "not yet", checkpoint
        assert "NotImplementedError" in graded["cause"], checkpoint
        assert "still empty" in graded["hint"] and graded["where"].startswith(f"{folder}/")
    for line in without_numbers(shown).splitlines():
        assert line in without_numbers(text.replace(f"{tmp_path}/", ""))
    assert_no_answer(text)


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "#", text)


@pytest.mark.parametrize(
    "faults",
    [*TOGETHER, *(pytest.param(faults, marks=pytest.mark.seldom) for faults in SELDOM)],
    ids=" + ".join,
)
def test_mistakes_cost_the_points_of_their_checkpoints(grade, tmp_path, faults):
    edits = [edit for name in faults for edit in WRONG[name][0]]
    status, grades, text = grade(write_port(tmp_path / "port", edits))
    assert status == 1
    hold(grades, text, faults)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_no_work_of_the_students_has_no_points(grade, tmp_path, name):
    edits, words = FORBIDDEN[name]
    folder = write_port(tmp_path / "port", edits)
    status, grades, text = grade(folder, "--only", "forward,init,backward,training")
    assert status == 1 and "points: 0 of 60" in text
    for graded in grades.values():
        said = f"{graded['where']} {graded['cause']}"
        assert all(word in said for word in words), said


@pytest.mark.seldom
@pytest.mark.parametrize(
    ("written", "passed"),
    [
        ({"models/resnet.py"}, {"forward", "init"}),
        ({"models/resnet.py", "loop.py"}, {"forward", "init", "loss", "backward"}),
        ({"metric.py", "loop.py"}, {"metric", "loss"}),
        ({"loop.py", "optim.py"}, {"loss", "lr", "optimizer"}),
        (set(trees.FILES) - {"metric.py"}, set(POINTS) - {"metric"}),
    ],
)
def test_what_is_not_written_yet_costs_nothing_elsewhere(grade, tmp_path, written, passed):
    folder = write_port(tmp_path / "port")
    for name in set(trees.FILES) - written:
        shutil.copyfile(trees.STARTER / name, folder / name)
    status, grades, text = grade(folder)
    assert status == 1
    assert names_of(grades, "passed") == passed, text


@pytest.mark.seldom
@pytest.mark.parametrize(
    ("file", "line", "lost"),
    [
        ("optim.py", "unknown_name", {"lr", "optimizer", "training"}),
        ("loop.py", "unknown_name", {"metric", "loss", "backward", "lr", "optimizer", "training"}),
        ("metric.py", "def (", {"metric"}),
        ("models/resnet.py", "unknown_name", {"forward", "init", "backward", "training"}),
    ],
)
def test_a_file_that_cannot_be_read_costs_nothing_elsewhere(grade, tmp_path, file, line, lost):
    folder = write_port(tmp_path / "port")
    with open(folder / file, "a") as stream:
        stream.write(f"\n\n{line}\n")
    status, grades, text = grade(folder)
    assert status == 1
    assert names_of(grades, "passed") == set(POINTS) - lost, text
    for name in lost:
        assert "unknown_name" in grades[name]["cause"] or "no Python" in grades[name]["cause"]
        assert f"{file}:" in grades[name]["where"]


@pytest.mark.parametrize(("main", "options", "words"), USAGE)
def test_a_mistake_of_usage_is_one_line_and_exit_status_2(monkeypatch, main, options, words):
    monkeypatch.chdir(ROOT)
    assert_user_error(call(main, options), *words)


def test_the_chapter_names_every_file_and_checkpoint_and_links_lead_somewhere(language):
    page = ROOT / "docs" / language / "11-homework.md"
    text = page.read_text()
    for name, points in POINTS.items():
        assert f"`{name}` {points}" in text
    for name in trees.FILES:
        assert f"[`{name}`](../../homework/ResNet-torch/{name})" in text
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / target.partition("#")[0]).exists(), target
    for module in rules.MODULES - {"__future__", "models", "metric", "loop", "optim", "numpy"}:
        assert f"`{module}`" in text


def test_both_languages_have_the_same_commands_and_outputs():
    assert blocks("en") == blocks("zh") and len(blocks("en")) == 4


def blocks(language: str) -> list[str]:
    """Return the commands of the chapter, and what it says that they print."""
    text = (ROOT / "docs" / language / "11-homework.md").read_text()
    return re.findall(r"^```(?:bash|text)\n(.*?)^```$", text, re.M | re.S)


@pytest.mark.parametrize(
    ("checkpoint", "cause", "words"),
    [
        ("lr", "the rate never changes: the schedule is not stepped, or not attached", "moves"),
        ("lr", "the schedule is not attached (the optimizer was given a number)", "made first"),
        ("optimizer", "fc.bias, step 2: the gradient of fc.bias differs by 2", "step before"),
        ("optimizer", "weight decay of fc.bias: 0 in PyTorch, 0.1 in PaddlePaddle", "decay"),
        ("optimizer", "bn1.weight does not move in PaddlePaddle", "every parameter"),
        ("forward", "conv1: the bias is gained: has no counterpart", "no bias"),
    ],
)
def test_a_hint_fits_the_cause(checkpoint, cause, words):
    assert words in hints.hint(checkpoint, cause)


def test_each_checkpoint_has_a_hint_for_whatever_comes():
    assert all(hints.hint(name, "something new") for name in POINTS)


GIVEN_IS_TORCHVISIONS = """
import sys
import torch
from torchvision.models import resnet18
sys.path.insert(0, sys.argv[1])
from models.resnet import ResNet18

own, other = ResNet18(), resnet18()
assert sum(value.numel() for value in own.parameters()) == 11_689_512
values = [
    torch.rand_like(value) if value.is_floating_point() else value
    for value in other.state_dict().values()
]
other.load_state_dict(dict(zip(other.state_dict(), values)))
own.load_state_dict(dict(zip(own.state_dict(), values)))
images = torch.randn(2, 3, 96, 75)
assert torch.equal(own.eval()(images), other.eval()(images))
"""


@pytest.mark.seldom
def test_the_given_network_is_torchvisions():
    assert_success(run(sys.executable, "-c", GIVEN_IS_TORCHVISIONS, trees.TORCH))


@pytest.mark.parametrize(("files", "forbidden"), IMPORTED)
def test_no_framework_where_it_does_not_belong(files, forbidden):
    found = list((ROOT / "homework").glob(files))
    assert len(found) >= len(trees.FILES)
    for path in found:
        assert not {name.partition(".")[0] for name in imported(path.read_text())} & forbidden, path
