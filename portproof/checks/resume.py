"""The checkpoint resume: does a run that stopped resume as if it had not?"""

import numpy as np

from portproof.core.findings import at
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose import source_lines
from portproof.numeric import fingerprints
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import Side

BATCH = 10  # images: two steps an epoch
EPOCHS = 3  # the last begins with a rate that the schedule takes from what it remembers
BREAK = 3  # steps that are over when the checkpoint is written: in the middle of the second epoch
SAME = 1e-9  # relative, float64; measured: 0


def check_resume(pair: TrainingPair) -> Verdict:
    """Compare, on each side by itself, three epochs without a break and with one in the second."""
    settings = {"schedule": "step", "lr_step_size": 1, "warmup_epochs": 0, "batch_size": BATCH}
    recording = {"batches": pair.batches(10), "epochs": EPOCHS, "after": BREAK}
    for traced in (False, True):  # again, where a line is to be named
        verdict = Verdict("resume", float64=0.0)
        reports = pair.ask(Request("resume", settings, None, recording | {"traced": traced}))
        for side in FRAMEWORKS:
            _check_side(verdict, side, reports[side], pair.sides)
        if verdict.verdict != DIVERGED:
            break
    return verdict


def _check_side(verdict: Verdict, side: str, report: dict, sides: dict[str, Side]) -> None:
    name = NAMES[side]

    def line(what: str, *patterns: str) -> str:
        return at(source_lines.find_line(sides[side], patterns, report["called"]), what)

    if report["error"]:
        verdict.diverge(name, f"the run cannot be resumed: {report['error']}", line(FIX, *LINES))
        return
    whole, broken = report["unbroken"], report["resumed"]
    done = BREAK
    if len(whole["rows"]) - done != len(broken["rows"]):
        cause = f"after {done} of {len(whole['rows'])} steps the resumed run takes "
        cause += f"{len(broken['rows'])} more: the epoch is lost, or the step in it"
        verdict.diverge(name, cause, line("start from the checkpoint's epoch", *EPOCH))
        return
    for step, row in enumerate(broken["rows"]):
        place = done + step
        where = f"{name}, step {step + 1} after the break"
        for cause, fix, apart in _differences(whole, broken, place, step, row):
            verdict.float64 = max(verdict.float64, apart)
            if apart > SAME:
                lost = next((lines for part, lines in LOST.items() if part in cause), ())
                verdict.diverge(where, cause, line(fix, *lost, *LINES))
                return


FIX = "take back all that a checkpoint keeps"
LINES = (r"set_state_dict|load_state_dict", r"restore\(")
EPOCH = (r"\bresume\(|restore\(", r"\bepoch\b.*=", r"[\"']epoch[\"']")
LOST = {"epoch": EPOCH, "schedule": (r"sched\w*\..*state_dict",)}
LOST["optimizer"] = (r"optim\w*\..*state_dict",)


def _differences(whole: dict, broken: dict, place: int, step: int, row: dict):
    """Yield what could be lost, the fix, and how far the two runs are apart in it."""
    other = whole["rows"][place]
    images = fingerprints.relative(other["images"], row["images"], 1)
    if other["labels"] != row["labels"]:
        images = float("inf")
    yield "another batch: the epoch is lost", "start from the checkpoint's epoch", images
    rate = abs(other["lr"] - row["lr"]) / max(abs(other["lr"]), 1e-30)
    cause = f"the learning rate is {row['lr']:.6g}, without the break {other['lr']:.6g}"
    yield f"{cause}: the schedule's state is lost", FIX, rate
    before, state, after = (
        _apart(whole, broken, place, step, kind) for kind in ("before", "state", "after")
    )
    yield "the weights are not those of the checkpoint", FIX, before
    apart = abs(other["loss"] - row["loss"]) / max(abs(other["loss"]), 1e-30)
    yield "the loss differs with the same weights and batch", "look for a lost random state", apart
    cause = "the optimizer's velocity is lost: the momentum buffers are not restored"
    yield cause, FIX, state
    yield "the update differs: a part of the optimizer's state is lost", FIX, after


def _apart(whole: dict, broken: dict, place: int, step: int, kind: str) -> float:
    own, theirs = whole["tensors"][place][kind], broken["tensors"][step][kind]
    if set(own) != set(theirs):
        return float("inf")
    most = 0.0
    for name, values in own.items():
        count = int(np.prod(whole["shapes"][name.partition(" ")[0]]))
        most = max(most, fingerprints.relative(values, theirs[name], count))
    return most
