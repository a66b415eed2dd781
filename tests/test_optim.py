"""Both schedules follow their formula, as the optimizer uses them."""

import math

import numpy as np
import pytest

from tests.helpers import FRAMEWORKS, run_probe

STEPS = 10  # per epoch
STEP_OPTIONS = ["--schedule", "step", "--lr-step-size", 2, "--lr-gamma", 0.1]


def expected(schedule, lr, warmup, epochs):
    rates = []
    for step in range(epochs * STEPS):
        after = step - warmup
        if after < 0:
            rate = lr * (0.01 + 0.99 * step / warmup)
        elif schedule == "step":
            rate = lr * 0.1 ** (after // (2 * STEPS))
        else:
            rate = lr * (1 + math.cos(math.pi * after / (epochs * STEPS - warmup))) / 2
        rates.append(rate)
    return np.array(rates)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("options", "schedule", "warmup"),
    [
        (STEP_OPTIONS, "step", 0),
        ([*STEP_OPTIONS, "--warmup-epochs", 1.5], "step", 15),
        (["--schedule", "cosine", "--warmup-epochs", 0], "cosine", 0),
        (["--schedule", "cosine", "--warmup-epochs", 1.5], "cosine", 15),
    ],
)
def test_schedule(framework, options, schedule, warmup, tmp_path):
    given = ["--lr", 0.08, "--gpus", 8, "--epochs", 5, "--warmup-epochs", 0, *options]
    recorded = run_probe(framework, tmp_path, *given, schedule={"steps_per_epoch": STEPS})
    rates = recorded["schedule"]["lr"]
    # One process where the recipe's rate is for eight GPUs: an eighth.
    np.testing.assert_allclose(rates, expected(schedule, 0.01, warmup, 5), rtol=1e-9, atol=1e-15)
