"""What is graded, with what it is drawn, and the port that it is about."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from homework import rules, trees
from portproof.system.errors import UserError

MODEL = trees.MODEL
POINTS = dict(
    forward=30, init=10, metric=10, loss=10, backward=10, lr=10, optimizer=10, training=10
)
USES = {  # the files in which a checkpoint's mistakes are
    "forward": (MODEL,),
    "init": (MODEL,),
    "metric": ("metric.py", "loop.py"),
    "loss": ("loop.py",),
    "backward": (MODEL, "loop.py"),
    "lr": ("optim.py", "loop.py"),
    "optimizer": ("optim.py", "loop.py"),
    "training": (MODEL, "optim.py", "loop.py"),
}
NEEDS = {  # a mistake there shows here again: it costs no blame twice
    "backward": ("forward", "loss"),
    "training": ("forward", "loss", "backward", "lr", "optimizer"),
}
PASSED, FAILED, WAITS = "passed", "not yet", "waits"
WIDTHS = 8, 16  # channels of the first stage: from, to (not included)
SIZES = (65, 129), (225, 257)  # pixels of the forward pass: the last pooling has 3, 4 and 8 a side
# Where the last pooling has 2 x 2 pixels to average: backwards, Paddle keeps 1 / 4 as a float32
# number, which is exact. With 1 / 9 all gradients would differ by 1e-8, a fault as any other.
EVEN = (63, 65)
CLASSES = 6, 30
ALONE = ("lr", "optimizer")  # need parameters that have partners, and nothing else of the network


@dataclass(frozen=True)
class Drawn:
    """What one grading is done with, drawn from its seed."""

    seed: int
    width: int  # channels of the first stage
    sizes: tuple[int, int]  # pixels of the forward pass
    training_size: int  # pixels of all else
    classes: int

    @classmethod
    def of(cls, seed: int) -> "Drawn":
        generator = np.random.default_rng(seed)
        limits = (WIDTHS, *SIZES, EVEN, CLASSES)
        width, small, large, even, classes = (int(generator.integers(*pair)) for pair in limits)
        return cls(seed, width, (small, large), even, classes)


@dataclass
class Grade:
    """The result of one checkpoint. `where` is FILE:LINE of the student's, `place` a layer."""

    name: str
    of: int
    points: int = 0
    verdict: str = FAILED
    place: str | None = None
    cause: str | None = None
    where: str | None = None
    hint: str | None = None
    note: str | None = None
    float64: float | None = None
    seconds: float = 0.0


@dataclass
class Port:
    """The student's files, by their names."""

    folder: Path
    # Which cannot be run, with the cause and the line; which have places that are still empty;
    # which stopped a checkpoint that is not about them.
    broken: dict[str, tuple[str, int]] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    spared: set[str] = field(default_factory=set)

    def files(self, checkpoint: str) -> tuple[str, ...]:
        """Return the files that a checkpoint is graded with; others stand for the rest."""
        uses = USES[checkpoint]
        # What is not about the network mostly does not get as far as the empty places.
        left_out = {*self.broken, *self.spared, *(self.empty if MODEL in uses else ())}
        return tuple(name for name in trees.FILES if name in uses or name not in left_out)


def read(folder: Path) -> Port:
    """Return a student's port. Raises UserError where a file is missing."""
    port = Port(folder)
    for name in trees.FILES:
        if not (folder / name).is_file():
            start = "python -m homework.start DIR writes the files to begin with"
            raise UserError(f"{folder} has no {name}; {start}")
        broken = rules.breach(folder / name)
        if broken is not None:
            port.broken[name] = broken
        elif "raise NotImplementedError" in (folder / name).read_text():
            port.empty.add(name)
    return port
