"""The checkpoint lr: which learning rate does the optimizer use at each step?"""

from dataclasses import replace

import numpy as np

from portproof.core.findings import Cause
from portproof.core.step_compare import Reports
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict
from portproof.diagnose import schedule
from portproof.diagnose.source_lines import located

SCHEDULES = {
    "stairs": {"schedule": "step", "lr_step_size": 1, "lr_gamma": 0.5, "warmup_epochs": 0},
    "cosine with warm-up": {"schedule": "cosine", "warmup_epochs": 1},
}
Rows = dict[str, list[dict]]  # by side: what it recorded of each step
EPOCHS = 4
SAME, SAME_USED = 1e-9, 1e-6  # relative: rates as reported, and as the parameters move
SMALL = 100_000  # elements of the parameters at which the learning rate is read off


def check_lr(pair: TrainingPair) -> Verdict:
    """Compare the learning rate that the optimizer uses at each step, with two schedules."""
    verdict = Verdict("lr", float64=0.0)
    for name, options in SCHEDULES.items():
        # Stated for 8 GPUs, so that its scaling to the one process is in it.
        settings = {"epochs": EPOCHS, "lr": 0.8, "gpus": 8, **options}
        reports = pair.ask(Request("lr", settings, None, {"most": SMALL}))
        rows = {side: report["rows"] for side, report in reports.items()}
        table = [["step", "PyTorch uses", "PaddlePaddle uses", "reports", "reports"]]
        for step, both in enumerate(zip(*rows.values(), strict=False)):
            used = (f"{_used(row):.8g}" for row in both)
            table.append([str(step), *used, *(str(row["reported"]) for row in both)])
        verdict.details.append({"title": name, "table": table})
        torch, paddle = map(len, rows.values())
        if torch != paddle:
            cause = f"{torch} steps in PyTorch, {paddle} in PaddlePaddle"
            verdict.diverge(name, cause, "take as many steps an epoch")
        if _is_another_rule(reports):
            continue  # what the optimizer makes of its rate has a checkpoint of its own
        for names in pair.pairs():
            if cause := compare_rates(verdict, rows, names):
                cause = replace(cause, where=f"{name}, {cause.where}")
                verdict.blame(located(cause, pair, reports))
    return verdict


def _used(row: dict) -> float:
    """Return the rate that most parameters moved by."""
    return float(np.median(list(row["used"].values()))) if row["used"] else np.nan


def _is_another_rule(reports: Reports) -> bool:
    """Say whether both report the same rates, and one moves by something else.

    So do Adam, RMSProp and a decay beside the gradient, whatever the schedule. One that is stepped
    at another time moves by what is reported one step before or after.
    """
    rows = [report["rows"] for report in reports.values()]
    reported = [np.array([row["reported"] for row in steps]) for steps in rows]
    if len(reported[0]) != len(reported[1]) or not np.allclose(*reported, rtol=SAME, atol=0):
        return False
    if any(set(report["roles"]) - {"velocity"} for report in reports.values()):
        return True
    for steps, rates in zip(rows, reported, strict=True):
        used = np.array([_used(row) for row in steps])
        shares = used / rates
        plain = np.isclose(used[:, None], rates, rtol=SAME_USED, atol=0).any(axis=1)  # [steps]
        if np.ptp(shares) > 1e-3 * abs(shares).max() and plain.mean() < 0.5:
            return True
    return False


def compare_rates(verdict: Verdict, rows: Rows, names: tuple[str, str]) -> Cause | None:
    """Compare the rates at which a parameter moves; `names` are its names on both sides."""
    for step, both in enumerate(zip(*rows.values(), strict=False)):
        left, right = (row["used"].get(name) for row, name in zip(both, names, strict=True))
        if left is None or right is None or right == 0.0 != left or left == 0.0 != right:
            continue  # left out of the optimizer, which has its rates checkpoint
        apart = abs(left - right) / max(abs(left), abs(right), 1e-30) if left != right else 0.0
        verdict.float64 = max(verdict.float64, apart)
        if apart <= SAME_USED:
            continue
        torch, paddle = map(_used, both)
        if abs(torch - paddle) <= SAME_USED * abs(torch):
            cause = schedule.explain_group(names[0], torch)
        else:
            rates = {side: list(map(_used, steps)) for side, steps in rows.items()}
            cause = schedule.explain(rates, rows)
        words = f"{left:.6g} in PyTorch, {right:.6g} in PaddlePaddle; {cause.cause}"
        return replace(cause, where=f"step {step}", cause=words)
    return None
