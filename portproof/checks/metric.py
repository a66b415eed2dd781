"""The checkpoint metric: does each side's evaluation count as it should?"""

from pathlib import Path

import numpy as np

from portproof.core.findings import at
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict
from portproof.diagnose import source_lines
from portproof.diagnose.metric import Case, describe
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import to_mend

SAME = 1e-5  # relative: counted in float32 on the way
FIX = "count the correct samples of all batches, divide by the number of samples and "
FIX += "multiply by 100"


def check_metric(pair: TrainingPair) -> Verdict:
    """Compare what each evaluation says of given batches of logits with the other, and the truth.

    What both sides get wrong alike is seen too: of metrics whose names say what they are.
    """
    verdict = Verdict("metric", float64=0.0)
    files = metric_cases(pair.folder)
    reports = pair.ask(Request("evaluation", {}, None, {"cases": files}))
    for number, file in enumerate(files):
        with np.load(file) as arrays:
            case = Case(arrays["logits"], arrays["labels"], arrays["sizes"])
        torch, paddle = (reports[side]["cases"][number] for side in FRAMEWORKS)
        for name in [*torch, *(name for name in paddle if name not in torch)]:
            values = {"torch": torch.get(name, np.nan), "paddle": paddle.get(name, np.nan)}
            compare_metric(verdict, pair, reports, case, (name, values))
    modes = [reports[side]["mode"] for side in FRAMEWORKS]
    if modes[0] != modes[1]:
        cause = f"the network is measured in {modes[0]} mode in PyTorch, in {modes[1]} mode in "
        cause += "PaddlePaddle"
        what = "call model.eval() before the first batch"
        near = source_lines.near(reports, "forward")
        fix = source_lines.fix(pair.sides, what, r"\.eval\(|\.train\(", r"^\s*for ", near=near)
        verdict.diverge("evaluate", cause, fix)
    return verdict


def compare_metric(
    verdict: Verdict,
    pair: TrainingPair,
    reports: dict[str, dict],
    case: Case,
    metric: tuple[str, dict[str, float]],
) -> None:
    """Hold the two values of a metric, by side, to each other and to the truth."""
    name, values = metric
    apart = relative(values["torch"], values["paddle"])
    verdict.float64 = max(verdict.float64, apart if np.isfinite(apart) else 0.0)
    truth = case.truth.get(name)
    wrong = [
        side for side in FRAMEWORKS if truth is not None and relative(truth, values[side]) > SAME
    ]
    if apart <= SAME and not wrong:
        return
    message = "; ".join(
        f"{NAMES[side]}: {value:.6g}, {describe(case, name, value)}"
        for side, value in values.items()
    )
    where = f"{name}, batches of {', '.join(map(str, case.sizes))}, {case.logits.shape[1]} classes"
    lines = [rf'"{name}"', r"correct|sum|mean"]
    if "ties" in message or "otherwise" in message:  # how one sample is counted
        lines = [r"score|topk|argsort|k=\d", "argmax", *lines]
    side = wrong[0] if len(wrong) == 1 else to_mend(pair.sides)
    near = source_lines.near(reports, "evaluate")[side]
    verdict.diverge(where, message, at(source_lines.find_line(pair.sides[side], lines, near), FIX))


def relative(value: float, other: float) -> float:
    """Return how far two values are apart, relative to the first."""
    return abs(value - other) / max(abs(value), 1e-12)


def metric_cases(folder: Path) -> list[str]:
    """Write logits, labels and batch sizes: ties, unequal batches, fewer than five classes."""
    generator = np.random.default_rng(1)
    files = []
    for number, (sizes, classes) in enumerate(
        [([8, 8, 3], 10), ([4, 1], 3), ([16], 100), ([5, 5, 5, 2], 7)]
    ):
        logits = generator.integers(-3, 4, [sum(sizes), classes]).astype(np.float64)  # with ties
        logits[: len(logits) // 2] += generator.standard_normal(classes)
        labels = generator.integers(0, classes, sum(sizes))
        labels[-1] = logits[-1].argmax()  # the small last batch is right: a mean of means shows
        files.append(str((folder / f"metric-{number}.npz").resolve()))
        np.savez(files[-1], logits=logits, labels=labels, sizes=np.array(sizes))
    return files
