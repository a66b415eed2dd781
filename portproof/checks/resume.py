"""The checkpoint resume: does a run that stopped resume as if it had not?"""

from collections.abc import Iterator

from portproof.core.findings import Cause
from portproof.core.step_compare import relative
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict, with_lines
from portproof.diagnose.source_lines import with_line
from portproof.numeric import fingerprints
from portproof.system.frameworks import NAMES
from portproof.worker.client import Side

BATCH = 10  # images: two steps an epoch
EPOCHS = 3  # the last begins with a rate that the schedule takes from what it remembers
BREAK = 3  # steps that are over when the checkpoint is written: in the middle of the second epoch
SAME = 1e-9  # relative, float64; measured: 0
RESTORE = "take back all that a checkpoint keeps"
RESTART = "start from the checkpoint's epoch"
LINES = (r"set_state_dict|load_state_dict", r"restore\(")
EPOCH = (r"\bresume\(|restore\(", r"\bepoch\b.*=", r"[\"']epoch[\"']")
LOST = {  # by a word of the cause: lines that are looked for before LINES
    "epoch": EPOCH,
    "schedule": (r"sched\w*\..*state_dict",),
    "optimizer": (r"optim\w*\..*state_dict",),
}


def check_resume(pair: TrainingPair) -> Verdict:
    """Compare, on each side by itself, three epochs without a break and with one in the second."""
    settings = {"schedule": "step", "lr_step_size": 1, "warmup_epochs": 0, "batch_size": BATCH}
    recording = {"batches": pair.batches(10), "epochs": EPOCHS, "after": BREAK}

    def check(traced: bool) -> Verdict:
        verdict = Verdict("resume", float64=0.0)
        request = Request("resume", settings, None, recording | {"traced": traced})
        for side, report in pair.ask(request).items():
            _check_side(verdict, pair.sides[side], report)
        return verdict

    return with_lines(check)


def _check_side(verdict: Verdict, side: Side, report: dict) -> None:
    name = NAMES[side.framework]

    def diverge(where: str, cause: str, fix: str, *patterns: str) -> None:
        cause = Cause(where, cause, fix, patterns=patterns)
        verdict.blame(with_line(cause, side, report["called"]))

    if report["error"]:
        diverge(name, f"the run cannot be resumed: {report['error']}", RESTORE, *LINES)
        return
    whole, broken = report["unbroken"], report["resumed"]
    steps, more = len(whole["rows"]), len(broken["rows"])
    if steps - BREAK != more:
        cause = f"after {BREAK} of {steps} steps the resumed run takes {more} more: the epoch is "
        diverge(name, f"{cause}lost, or the step in it", RESTART, *EPOCH)
        return
    for step in range(more):
        for cause, fix, apart in _differences(whole, broken, step):
            verdict.float64 = max(verdict.float64, apart)
            if apart > SAME:
                lost = next((lines for word, lines in LOST.items() if word in cause), ())
                diverge(f"{name}, step {step + 1} after the break", cause, fix, *lost, *LINES)
                return


def _differences(whole: dict, broken: dict, step: int) -> Iterator[tuple[str, str, float]]:
    """Yield what could be lost, the fix, and how far the two runs are apart in it."""
    other, row = whole["rows"][BREAK + step], broken["rows"][step]
    apart = {n: abs(other[n] - row[n]) / max(abs(other[n]), 1e-30) for n in ("lr", "loss")}
    images = fingerprints.relative(other["images"], row["images"], 1)
    images = images if other["labels"] == row["labels"] else float("inf")
    yield "another batch: the epoch is lost", RESTART, images
    cause = f"the learning rate is {row['lr']:.6g}, without the break {other['lr']:.6g}"
    yield f"{cause}: the schedule's state is lost", RESTORE, apart["lr"]
    before = _apart(whole, broken, step, "before")
    yield "the weights are not those of the checkpoint", RESTORE, before
    cause = "the loss differs with the same weights and batch"
    yield cause, "look for a lost random state", apart["loss"]
    cause = "the optimizer's velocity is lost: the momentum buffers are not restored"
    yield cause, RESTORE, _apart(whole, broken, step, "state")
    cause = "the update differs: a part of the optimizer's state is lost"
    yield cause, RESTORE, _apart(whole, broken, step, "after")


def _apart(whole: dict, broken: dict, step: int, kind: str) -> float:
    """Return the largest relative difference of one kind of tensor after the break."""
    left, right = whole["tensors"][BREAK + step][kind], broken["tensors"][step][kind]
    if set(left) != set(right):
        return float("inf")
    return max(relative(left, right, whole["shapes"]).values(), default=0.0)
