"""Both schedules follow their formula, as the optimizer uses them."""

import math

import numpy as np
import pytest

from tests.support.trees import run_parts

STEPS = 10  # per epoch
STEP_OPTIONS = ["--schedule", "step", "--lr-step-size", 2, "--lr-gamma", 0.1]
SCHEDULES = [(STEP_OPTIONS, "step", 0), ([*STEP_OPTIONS, "--warmup-epochs", 1.5], "step", 15)]
SCHEDULES += [(["--schedule", "cosine", "--warmup-epochs", 0], "cosine", 0)]
SCHEDULES += [(["--schedule", "cosine", "--warmup-epochs", 1.5], "cosine", 15)]
RATES = [1, 1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1]  # of the first rate, after it; patience 2
ERRORS = [90, 80, 80, 85, 79, 79, 79, 79, 79, 60, 61, 62]  # per cent, at the end of each epoch


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


@pytest.mark.parametrize(("options", "schedule", "warmup"), SCHEDULES)
def test_schedule(framework, options, schedule, warmup, tmp_path):
    words = ["--lr", 0.08, "--gpus", 8, "--epochs", 5, "--warmup-epochs", 0, *options]
    parts = run_parts(framework, tmp_path, *words, schedule={"steps_per_epoch": STEPS})
    rates = parts["schedule"]["lr"]
    # One process where the recipe's rate is for eight GPUs: an eighth.
    np.testing.assert_allclose(rates, expected(schedule, 0.01, warmup, 5), rtol=1e-9, atol=1e-15)


def test_a_plateau_is_a_stair_and_its_state_can_be_put_back(framework, run_in_tree):
    run_in_tree(
        framework,
        f"""
import types
import {framework} as framework
import optim
args = types.SimpleNamespace(
    lr=0.08, gpus=8, momentum=0.9, weight_decay=0.0, nesterov=False, epochs=90, warmup_epochs=0,
    schedule="plateau", lr_gamma=0.1, lr_patience=2, split_batch=False,
)
rates, state = [], None
for error in {ERRORS}:
    optimizer, scheduler = optim.build(framework.nn.Linear(2, 2), args, steps_per_epoch=3)
    if state:
        optimizer.{"load_state_dict" if framework == "torch" else "set_state_dict"}(state[0])
        scheduler.{"load_state_dict" if framework == "torch" else "set_state_dict"}(state[1])
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    optim.end_epoch(scheduler, error)
    rates.append(optim.current_lr(optimizer) / 0.01)
    state = optimizer.state_dict(), scheduler.state_dict()
expected = {RATES}
assert all(abs(rate - right) < 1e-9 for rate, right in zip(rates, expected, strict=True)), rates
""",
    )
