"""Top-k counts: ties, NaN, few classes."""

import numpy as np

from tests.support.trees import run_parts


def count(framework, tmp_path, logits, labels):
    recorded = run_parts(framework, tmp_path, metric={"logits": logits, "labels": labels})["metric"]
    return int(recorded["top1"]), int(recorded["top5"])


def test_counts_are_those_of_a_stable_sort(framework, tmp_path):
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 6, (500, 12)).astype(float)  # whole numbers: many ties
    labels = rng.integers(0, 12, 500)
    is_label = np.argsort(-logits, axis=1, kind="stable") == labels[:, None]
    expected = int(is_label[:, :1].sum()), int(is_label[:, :5].sum())
    assert count(framework, tmp_path, logits.tolist(), labels.tolist()) == expected


def test_fewer_than_five_classes_and_nan(framework, tmp_path):
    nan = float("nan")
    logits = [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0], [nan, 1.0, 0.0], [nan, nan, nan]]
    assert count(framework, tmp_path, logits, [2, 1, 1, 0]) == (1, 2)
