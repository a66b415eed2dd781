"""The page of the API mapping has a row for each framework call of the trees, and no other."""

import re

import pytest

from common.paths import ROOT
from course import api_calls

PAGES = {language: ROOT / "docs" / language / "api-mapping.md" for language in ("en", "zh")}
SIDES = {"torch": 0, "paddle": 1}


@pytest.fixture(scope="module", params=SIDES)
def calls_made(request):
    return request.param, set(api_calls.calls(request.param))


def in_rows(text, side):
    cells = [line.strip("|").split(" | ")[side] for line in text.splitlines() if line[:3] == "| `"
             or line.startswith("| —")]  # fmt: skip
    return set(re.findall(r"`([^`]+)`", " ".join(cells)))


@pytest.mark.parametrize("language", PAGES)
def test_each_call_has_a_row_and_each_row_a_call(calls_made, language):
    framework, calls = calls_made
    rows = in_rows(PAGES[language].read_text(), SIDES[framework])
    assert not calls - rows, f"{PAGES[language]} has no row for {sorted(calls - rows)}"
    assert not rows - calls, f"{PAGES[language]} has rows that no tree needs: {rows - calls}"


def test_calls_are_told_from_what_only_looks_like_them():
    text = """
import numpy as np
import torch
from torch import nn
import boards
from torch.optim import SGD as Descent

class Net(nn.Module):
    def own(self): ...

    def forward(self, x):
        self.own()
        boards.add(x)
        name = "a".join(["b"])
        array = np.zeros(3)
        array.sum()
        self.apply(print)
        return nn.functional.relu(x).view(1).flatten(1)

Descent([], lr=1)
"""
    reader = api_calls.Reader("torch", api_calls.ast.parse(text))
    expected = {"torch.nn.Module", "torch.nn.functional.relu", "torch.optim.SGD", "Module.apply"}
    expected |= {"Tensor.view", "Tensor.flatten"}
    assert {name for name, _ in reader.calls} == expected
