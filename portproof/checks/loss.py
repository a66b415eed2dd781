"""The checkpoint loss: what does a step's own loss make of given logits?"""

from pathlib import Path

import numpy as np

from portproof.core.findings import Cause
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict
from portproof.diagnose.loss import name_loss
from portproof.diagnose.source_lines import located
from portproof.port import Settings

SAME = 1e-9  # relative, float64
FIX = "give CrossEntropyLoss the logits, once: reduction='mean', use_softmax=True, and "
FIX += "neither label smoothing nor weights, unless both have them"
LINES = r"CrossEntropy|cross_entropy|nll_loss|NLLLoss", r"criterion\s*="
CASES = [(8, 10, 1.0), (7, 5, 10.0), (1, 1000, 1.0), (4, 2, 0.0), (32, 10, 5.0)]


def check_loss(
    pair: TrainingPair, settings: Settings | None = None, tolerance: float = SAME
) -> Verdict:
    """Compare the loss and its gradient at given logits, in float64.

    A factor that is common to all gradients is none of the loss: `backward` is about it.
    `settings` are those of the port. Relative differences of up to `tolerance` are no fault.
    """
    verdict = Verdict("loss", float64=0.0)
    files = write_cases(pair.folder)
    reports = pair.ask(Request("loss", settings or {}, None, {"cases": files}))

    def blame(where: str, cause: str, fix: str) -> None:
        cause = Cause(where, cause, fix, patterns=LINES, event="loss backward")
        verdict.blame(located(cause, pair, reports))

    rows = (report["cases"] for report in reports.values())
    for file, *cases in zip(files, *rows, strict=True):
        with np.load(file) as case:
            logits, labels = case["logits"], case["labels"]
        for what in ("loss", "gradient"):
            left, right = (np.array(case[what]) for case in cases)
            where = f"{what} of logits {list(logits.shape)}"
            if left.shape != right.shape:
                shapes = f"{list(left.shape)} in PyTorch, {list(right.shape)} in PaddlePaddle"
                cause = f"the {what} has the shape {shapes}: not reduced to one number"
                blame(where, cause, 'take the mean: reduction="mean"')
                return verdict
            if what == "gradient":
                with np.errstate(invalid="ignore", divide="ignore"):
                    factor = (left * right).sum() / (left * left).sum()
                right = right / factor if np.isfinite(factor) and factor > 0 else right
            apart = np.abs(left - right).max() / max(np.abs(left).max(), 1e-12)
            verdict.float64 = max(verdict.float64, float(apart))
            if not apart <= tolerance:
                torch, paddle = (name_loss(logits, labels, case["loss"]) for case in cases)
                cause = f"{left.max():.9g} against {right.max():.9g}; PyTorch: {torch}; "
                blame(where, f"{cause}PaddlePaddle: {paddle}", FIX)
    return verdict


def write_cases(folder: Path) -> list[str]:
    """Write logits and labels of several kinds; return the files.

    No two logits of a sample are more than 60 apart: Paddle's softmax cuts off what lies 64 below
    the largest.
    """
    generator = np.random.default_rng(0)
    files = []
    for number, (samples, classes, scale) in enumerate(CASES):
        logits = scale * generator.standard_normal([samples, classes])
        labels = generator.integers(0, classes, samples)
        files.append(str((folder / f"loss-{number}.npz").resolve()))
        np.savez(files[-1], logits=logits, labels=labels)
    return files
