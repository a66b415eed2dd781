"""The README and its Chinese twin: short, alike, and true to the files they name."""

import difflib
import re
import subprocess

from common.paths import ROOT

TREES = ("torch", "paddle")
PAGES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}
MOST_LINES = 260
BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language, kind):
    """Return the texts of a page's blocks of one kind."""
    found = BLOCK.finditer(PAGES[language].read_text())
    return [match["text"] for match in found if match["kind"] == kind]


def without_comments(text):
    return [line.partition("  #")[0].rstrip() for line in text.splitlines()]


def test_it_is_short_enough_to_be_read(language):
    assert len(PAGES[language].read_text().splitlines()) <= MOST_LINES


def test_links_lead_to_files_and_headings(language):
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", BLOCK.sub("", PAGES[language].read_text()))
    assert len(targets) > 20
    for target in targets:
        name, _, anchor = target.partition("#")
        file = ROOT / name if name else PAGES[language]
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


def anchors(page):
    """Return the anchors that a page's headings have: lower case, dashes, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_excerpt_of_the_diff_is_that_of_the_trees(language):
    sides = [(ROOT / f"AlexNet-{name}/train.py").read_text().splitlines() for name in TREES]
    diff = list(difflib.ndiff(*sides))
    (excerpt,) = blocks(language, "diff")
    shown = [f"{line[0]} {line[1:]}" for line in excerpt.splitlines() if line != "..."]
    assert shown and {line[0] for line in shown} == {"-", "+", " "}
    assert [line for line in shown if line not in diff] == []


def commands_of(language):
    texts = [text for text in blocks(language, "") if text.startswith(("bash ", ".venv/"))]
    return [without_comments(text) for text in texts]


def test_both_languages_have_the_same_commands():
    for kind in ("", "python", "diff"):
        english, chinese = blocks("en", kind), blocks("zh", kind)
        assert len(english) == len(chinese)
    commands = [commands_of(language) for language in PAGES]
    assert commands[0] == commands[1] != []


def test_the_layout_names_every_folder(language):
    listing = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    folders = {name.partition("/")[0] for name in listing if "/" in name and name[0] != "."}
    layout = next(text for text in blocks(language, "") if "AlexNet-torch/  " in text)
    assert {name for name in folders if f"{name}/" not in layout} == set()
