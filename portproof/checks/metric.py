"""The checkpoint metric: does each side's evaluation count as it should?"""

from pathlib import Path

import numpy as np

from portproof.core.findings import Cause
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict
from portproof.diagnose.metric import Case, describe
from portproof.diagnose.source_lines import located, near, with_line
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import to_mend

SAME = 1e-5  # relative: counted in float32 on the way
FIX = "count the correct samples of all batches, divide by the number of samples and "
FIX += "multiply by 100"
CASES = [([8, 8, 3], 10), ([4, 1], 3), ([16], 100), ([5, 5, 5, 2], 7)]  # batches, classes


def check_metric(pair: TrainingPair) -> Verdict:
    """Compare what each evaluation says of given batches of logits with the other, and the truth.

    What both sides get wrong alike is seen too: of metrics whose names say what they are.
    """
    verdict = Verdict("metric", float64=0.0)
    files = metric_cases(pair.folder)
    reports = pair.ask(Request("evaluation", {}, None, {"cases": files}))
    for number, file in enumerate(files):
        with np.load(file) as arrays:
            case = Case(**arrays)
        rows = {side: reports[side]["cases"][number] for side in FRAMEWORKS}
        for name in rows["torch"] | rows["paddle"]:
            values = {side: row.get(name, np.nan) for side, row in rows.items()}
            apart = relative(*values.values())
            verdict.float64 = max(verdict.float64, apart if np.isfinite(apart) else 0.0)
            truth = case.truth.get(name, np.nan)  # NaN: it is not known
            wrong = [side for side in FRAMEWORKS if relative(truth, values[side]) > SAME]
            if not apart <= SAME or wrong:
                side = wrong[0] if len(wrong) == 1 else to_mend(pair.sides)
                cause = name_mistake(case, name, values)
                stack = near(reports[side], "evaluate")
                verdict.blame(with_line(cause, pair.sides[side], stack))
    torch, paddle = (reports[side]["mode"] for side in FRAMEWORKS)
    if torch != paddle:
        cause = f"the network is measured in {torch} mode in PyTorch, in {paddle} mode in "
        cause += "PaddlePaddle"
        fix = "call model.eval() before the first batch"
        lines = (r"\.eval\(|\.train\(", r"^\s*for ")
        cause = Cause("evaluate", cause, fix, patterns=lines, event="forward")
        verdict.blame(located(cause, pair, reports))
    return verdict


def name_mistake(case: Case, name: str, values: dict[str, float]) -> Cause:
    """Return where a metric is wrong, with its values by side in words."""
    words = [f"{NAMES[s]}: {v:.6g}, {describe(case, name, v)}" for s, v in values.items()]
    cause = "; ".join(words)
    where = f"{name}, batches of {', '.join(map(str, case.sizes))}, {case.logits.shape[1]} classes"
    lines = rf'"{name}"', r"correct|sum|mean"
    if "ties" in cause or "otherwise" in cause:  # how one sample is counted
        lines = r"score|topk|argsort|k=\d", "argmax", *lines
    return Cause(where, cause, FIX, patterns=lines)


def relative(value: float, other: float) -> float:
    """Return how far two values are apart, relative to the first."""
    return abs(value - other) / max(abs(value), 1e-12)


def metric_cases(folder: Path) -> list[str]:
    """Write logits, labels and batch sizes: ties, unequal batches, fewer than five classes."""
    generator = np.random.default_rng(1)
    files = []
    for number, (sizes, classes) in enumerate(CASES):
        logits = generator.integers(-3, 4, [sum(sizes), classes]).astype(np.float64)  # with ties
        logits[: len(logits) // 2] += generator.standard_normal(classes)
        labels = generator.integers(0, classes, sum(sizes))
        labels[-1] = logits[-1].argmax()  # the small last batch is right: a mean of means shows
        files.append(str((folder / f"metric-{number}.npz").resolve()))
        np.savez(files[-1], logits=logits, labels=labels, sizes=np.array(sizes))
    return files
