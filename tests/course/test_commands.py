"""Every command of the course works, and prints what its page shows."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from common.paths import ROOT
from course import sources
from tests.support import course_pages

PAGES = {page.name: page for page in sources.pages("en")}
# What commands write, and what must be the clone's own or not be there at all: see `desk`.
LEFT_OUT = ("runs", "exercises", "reports", "site", "scripts", ".venv")


def pairs():
    """Return each page, for its quick commands and for all, which build on each other."""
    for name, page in PAGES.items():
        are_long = [command.is_long for command in course_pages.commands(page)]
        if not all(are_long):
            yield pytest.param(name, False, id=f"{name}-quick")
        if any(are_long):
            yield pytest.param(name, True, id=f"{name}-long", marks=pytest.mark.seldom)


@pytest.fixture
def desk(tmp_path):
    """A folder that looks like the clone; scripts/ and .venv, which would be set up anew, aside."""
    for path in ROOT.iterdir():
        if path.name not in LEFT_OUT:
            (tmp_path / path.name).symlink_to(path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("name", "with_long"), list(pairs()))
def test_the_commands_of_a_page(name, with_long, desk):
    for command in course_pages.commands(PAGES[name]):
        if command.is_long and not with_long:
            continue
        # The clone's own scripts: see `desk`.
        code = command.code.replace("bash scripts/", f"bash {shlex.quote(str(ROOT))}/scripts/")
        words = ["bash", "-e", "-o", "pipefail", "-c", code]
        options = {"cwd": desk, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "timeout": 3600}
        done = subprocess.run(words, capture_output=True, text=True, **options)
        where = f"{name}:{command.line}"
        assert done.returncode == command.status, f"{where}\n{done.stdout}{done.stderr}"
        missing = course_pages.missing(command, done.stdout + done.stderr)
        assert not missing, f"{where} shows what is not printed: {missing}\n{done.stdout}"


@pytest.mark.parametrize("name", PAGES)
def test_the_twin_has_the_same_commands_and_outputs(name):
    twin = ROOT / "docs" / "zh" / name
    commands, twins = course_pages.commands(PAGES[name]), course_pages.commands(twin)
    assert [command.code for command in commands] == [command.code for command in twins]
    assert [command.shown for command in commands] == [command.shown for command in twins]
    assert [command.is_long for command in commands] == [command.is_long for command in twins]


@pytest.mark.parametrize("name", PAGES)
def test_the_twin_names_the_same_code_and_images(name):
    text, twin = PAGES[name].read_text(), (ROOT / "docs" / "zh" / name).read_text()
    assert sources.named_code(text) == sources.named_code(twin)
    images = r"!\[[^\]]+\]\(([^)]+)\)"
    assert re.findall(images, text) == re.findall(images, twin)


def test_what_a_page_shows_stands_below_its_command(language):
    """A block of output anywhere else is compared with nothing, and may be lost in the twin."""
    for page in sources.pages(language):
        compared = [command for command in course_pages.commands(page) if command.shown]
        assert len(re.findall(r"^```text$", page.read_text(), re.MULTILINE)) == len(compared), page


def test_each_chapter_has_code_of_both_trees_an_image_and_a_command(language):
    for page in sources.pages(language):
        if page.name[0].isdigit():
            assert sources.named_code(page.read_text()), page
            assert re.search(r"!\[[^\]]+\]\(", page.read_text()), page
            assert course_pages.commands(page), page


def test_code_that_a_page_names_exists_in_both_trees(language):
    for page in sources.pages(language):
        for torch, paddle in sources.named_code(page.read_text()):
            assert torch.lines and paddle.lines


def test_a_name_that_is_gone_is_an_error():
    with pytest.raises(sources.UserError, match="has no make_tea"):
        sources.find("AlexNet-torch/train.py", "make_tea")
    with pytest.raises(sources.UserError, match="no such file"):
        sources.find("AlexNet-torch/tea.py", "main")
    with pytest.raises(sources.UserError, match="two different files"):
        trees = "../../AlexNet"
        sources.named_code(f"[torch]({trees}-torch/a.py) | [Paddle]({trees}-paddle/b.py): `f`")


def test_a_line_that_is_not_printed_is_missed():
    page = "```bash\necho 1\n```\n\n```text\nloss 0.5\n...\nend\n```\n"
    (command,) = course_pages.commands_of(page)
    assert course_pages.missing(command, "loss 0.25\nend") == []
    assert course_pages.missing(command, "lost 0.25\nend") == ["loss 0.5"]


def test_links_lead_somewhere(language):
    for page in sources.pages(language):
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose):
            assert (page.parent / target).exists(), f"{page}: {target} is not there"
