"""Comparing arrays strictly: none of the false passes of looser comparisons."""

import numpy as np
import pytest

from portproof.core.tensor_compare import CONSTANT, compare
from portproof.diagnose import relations
from portproof.networks.matching import Match
from portproof.networks.pairing import pair_calls

RANDOM = np.random.default_rng(0).standard_normal((4, 3, 5, 6))


def changed(index, number):
    array = RANDOM.copy()
    array.flat[index] = number
    return array


def test_what_is_the_same_is_the_same():
    difference = compare(RANDOM, RANDOM.copy())
    assert (difference.largest, difference.rms, difference.relative) == (0, 0, 0)
    assert difference.problem is None
    with_nan = changed(3, np.nan)
    assert compare(with_nan, with_nan.copy()).relative == 0


INCOMPARABLE = [changed(3, np.nan), changed(3, np.inf), RANDOM[:1], RANDOM.transpose(0, 1, 3, 2)]
INCOMPARABLE += [RANDOM.astype(np.float32)]


@pytest.mark.parametrize("other", INCOMPARABLE)
def test_what_cannot_be_subtracted_is_incomparable(other):
    for pair in ((RANDOM, other), (other, RANDOM)):
        assert compare(*pair).problem and compare(*pair).relative == np.inf


@pytest.mark.parametrize(
    ("pair", "field", "least", "most"),
    [
        ((RANDOM, changed(7, RANDOM.flat[7] + 9e-4)), "largest", 8.9e-4, 9.1e-4),
        ((RANDOM, changed(7, RANDOM.flat[7] + 9e-4)), "relative", CONSTANT, 1),
        ((RANDOM, RANDOM[::-1]), "relative", 0.1, 10),  # the means of the batch are equal
        ((np.array([1], np.uint8), np.array([2], np.uint8)), "largest", 0.9, 1.1),  # no wrap
        # The scale is the layer's own.
        ((RANDOM * 1e6, RANDOM * 1e6 + 1), "relative", 0, 1e-6),
        ((np.zeros(3), np.array([0, 0, 1e-9])), "relative", 0.9, 1.1),
    ],
)
def test_how_large_a_difference_is(pair, field, least, most):
    assert least < getattr(compare(*pair), field) < most


def test_infinities_must_have_the_same_sign():
    assert compare(changed(3, np.inf), changed(3, -np.inf)).problem


RELU = np.maximum(RANDOM, 0)
RELATIONS = {
    "channels reversed (RGB": (RANDOM, RANDOM[:, ::-1]),
    "rows reversed": (RANDOM, RANDOM[:, :, ::-1]),
    "axes in the order": (RANDOM, RANDOM.transpose(0, 2, 3, 1)),
    "another order": (RANDOM.reshape(4, -1), RANDOM.transpose(0, 2, 3, 1).reshape(4, -1)),
    "multiplied by 0.5": (RANDOM, RANDOM * 0.5),
    "larger by 2": (RANDOM, RANDOM + 2),
    "a ReLU that": (RANDOM, RELU),
    "the ReLU is missing": (RELU, RANDOM),
    "where it is negative": (RANDOM, np.where(RANDOM < 0, 0.1 * RANDOM, RANDOM)),
    "clipped at 1": (RANDOM, np.minimum(RANDOM, 1)),
    "a softmax": (RANDOM, np.exp(RANDOM) / np.exp(RANDOM).sum(1, keepdims=True)),
    "dropout is active": (RANDOM, RANDOM * 2 * (np.arange(RANDOM.size) % 2).reshape(RANDOM.shape)),
    "a bias or a mean": (RANDOM, RANDOM + np.array([1, 2, 3]).reshape(1, 3, 1, 1)),
    "normalized otherwise": (RANDOM, RANDOM * np.array([1, 2, 3]).reshape(1, 3, 1, 1)),
    "at the border alone": (RANDOM, np.pad(RANDOM[..., 1:-1, 1:-1], [(0, 0)] * 2 + [(1, 1)] * 2)),
    "NaN or infinite": (RANDOM, changed(3, np.nan)),
}


@pytest.mark.parametrize("words", RELATIONS)
def test_a_known_mistake_is_put_into_words(words):
    assert words in relations.explain(*RELATIONS[words])


def test_what_has_no_known_relation_gets_no_words():
    assert relations.explain(RANDOM, np.random.default_rng(1).standard_normal(RANDOM.shape)) is None
    assert relations.explain(RANDOM, RANDOM * (1 + 1e-12)) is None


def calls(*layers):
    return [{"layer": layer, "kind": kind} for layer, kind in layers]


def test_calls_pair_by_their_weights_and_else_by_kind_and_place():
    torch = calls(("a", "Conv2d"), ("r", "ReLU"), ("p", "MaxPool2d"), ("b", "Linear"))
    paddle = calls(("x", "Conv2D"), ("q", "AvgPool2D"), ("d", "Dropout"), ("y", "Linear"))
    pairs = pair_calls(torch, paddle, Match(layers={"a": "x", "b": "y"}))
    assert {(0, 0), (2, 1), (3, 3), (1, None), (None, 2)} == set(pairs)
