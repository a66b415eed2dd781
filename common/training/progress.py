"""How far a run is, and what it must know to resume: the small part of a checkpoint."""

import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from portproof.system.errors import UserError


@dataclass
class Progress:
    """Epochs that are over, and what the current one has summed up in its steps so far.

    The sums are those of all processes; the first resumes with them. There is no random state:
    every draw is a function of seed, epoch and step (data/draws.py).
    """

    epoch: int = 0  # epochs that are over
    step: int = 0  # optimizer steps of the current epoch that are over
    loss_sum: float = 0.0  # over the images of these steps
    correct: int = 0
    seen: int = 0  # images
    best_top1: float = -1.0  # per cent
    lr: float = 0.0  # at the first step of the current epoch
    seconds: float = 0.0  # that the current epoch had taken when this run began or resumed

    def __post_init__(self) -> None:
        self.start_clock()

    def start_clock(self) -> None:
        """Take the current epoch's time from now on."""
        self.since = time.perf_counter()

    def taken(self) -> float:
        """Return the seconds of the current epoch, with those before a break."""
        return self.seconds + time.perf_counter() - self.since

    @classmethod
    def of(cls, contents: dict[str, Any], path: Path, rank: int, world_size: int) -> "Progress":
        """Return the progress in a checkpoint. Raises UserError at another number of processes."""
        if contents["world_size"] != world_size:
            raise UserError(
                f"{path}: made by {contents['world_size']} processes, and this run has "
                f"{world_size}; resume with as many, or start from its weights by --weights"
            )
        progress = cls(**{field.name: contents[field.name] for field in fields(cls)})
        if rank:
            progress.note(progress.step, 0.0, 0, 0)
        return progress

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into a checkpoint."""
        return asdict(self) | {"seconds": self.taken() if self.step else 0.0}

    def note(self, step: int, loss_sum: float, correct: float, seen: float) -> None:
        """Note what the current epoch has summed up when `step` of its steps are over."""
        self.step, self.loss_sum, self.correct, self.seen = step, loss_sum, int(correct), int(seen)

    def end_epoch(self, top1: float) -> bool:
        """Count the epoch as over; say whether `top1`, in per cent, is the best so far."""
        self.epoch += 1
        self.note(0, 0.0, 0, 0)
        self.seconds = 0.0
        is_best = top1 > self.best_top1
        self.best_top1 = max(top1, self.best_top1)
        return is_best
