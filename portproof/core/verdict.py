"""The verdict of one checkpoint, in the words that every tool uses."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portproof.core.findings import Cause, Report
from portproof.system.errors import UserError

ALIGNED, DIVERGED, NOT_RUN, ERROR = "aligned", "diverged", "not run", "error"

# The checkpoints in their order, and what each compares.
ABOUT = {
    "init": "the distributions that weights are drawn from",
    "forward": "the output of every layer, from the same weights and inputs",
    "data": "what evaluation sees: images, labels, order, batches",
    "metric": "loss and accuracy of given logits",
    "loss": "the loss and its gradient at given logits",
    "backward": "the gradients of one batch",
    "lr": "the learning rate that the optimizer uses at each step",
    "optimizer": "what the optimizer does with given gradients",
    "train_data": "what training sees: order, crops, flips, labels, batches",
    "training": "some steps of training, the same units dropped",
    "resume": "a run that stopped within an epoch and resumed, against one that did not stop",
    "distributed": "two processes against one",
    "inference": "the exported model against the live one",
}
CHECKPOINTS = tuple(ABOUT)
# A block of a page: {"title", and "text", "table" (rows of cells, the head first), "png" (bytes) or
# "samples" (two of core.streams, to be drawn)}.
Block = Mapping[str, Any]


@dataclass
class Verdict:
    """What one checkpoint found.

    `float64` and `float32` are the largest relative differences seen, None: none to tell. Where it
    diverged, `where` is the first layer, parameter, sample or step, `cause` what is wrong there,
    `fix` what to change. `why` is the reason of not run, error, and what an aligned one left out.
    `details` are blocks of the page.
    """

    name: str
    verdict: str = ALIGNED
    float64: float | None = None
    float32: float | None = None
    where: str | None = None
    cause: str | None = None
    fix: str | None = None
    seconds: float = 0.0
    why: str | None = None
    details: list[Block] = field(default_factory=list)

    @property
    def aligned(self) -> bool:
        return self.verdict == ALIGNED

    def diverge(self, where: str, cause: str, fix: str) -> None:
        """Note a divergence; the first one that is noted stands."""
        if self.verdict == DIVERGED:
            return
        self.verdict, self.where, self.cause, self.fix = DIVERGED, where, cause, fix

    def blame(self, cause: Cause) -> None:
        """Note a divergence by its cause; the first one that is noted stands."""
        self.diverge(cause.where, cause.cause, cause.fix)

    def as_dict(self) -> Report:
        """Return what goes into the JSON of a tool."""
        row = vars(self) | {"seconds": round(self.seconds, 3)}
        left_out = ("details",) if self.why else ("details", "why")
        return {name: value for name, value in row.items() if name not in left_out}


def timed(name: str, check: Callable[[], Verdict]) -> Verdict:
    """Return the verdict of a check with the seconds it took; where it fails, that is an error."""
    start = time.perf_counter()
    try:
        verdict = check()
    except UserError as error:  # one side failed: the other checkpoints still run
        verdict = Verdict(name, ERROR, why=" ".join(str(error).split()))
    except Exception as error:  # a fault of this tool must not hide what the others find
        message = f"this check itself failed: {type(error).__name__}: {error}"
        verdict = Verdict(name, ERROR, why=message)
    verdict.seconds = time.perf_counter() - start
    return verdict


def with_lines(check: Callable[[bool], Verdict]) -> Verdict:
    """Return the verdict of a check; a divergence is checked again, traced, to name its line."""
    verdict = check(False)
    return check(True) if verdict.verdict == DIVERGED else verdict
