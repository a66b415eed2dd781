"""Grade a port of the homework, checkpoint by checkpoint, by the project's own tools.

The student's files are run on weights, pictures and sizes that are drawn anew from a seed, against
the torch files of this repository (never a copy that the student holds).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from homework import extra_checks, hints, rules, trees
from tools import small_checks, training_checks
from tools.probes import NAMES, Side
from tools.rehearsals import Rehearsals
from tools.verdicts import ALIGNED, DIVERGED, ERROR, Verdict

POINTS = {
    **{"forward": 30, "init": 10, "metric": 10, "loss": 10},
    **{"backward": 10, "lr": 10, "optimizer": 10, "training": 10},
}
MODEL = trees.MODEL
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
WIDTHS, SIZES = (9, 20), (65, 129)  # channels, pixels: from, to (not included)
# Where the last pooling has 4 x 4 pixels to average: backwards, Paddle keeps 1 / 16 as a float32
# number, which is exact. With 1 / 9 all gradients would differ by 1e-8, and faults as small be lost.
EVEN = (97, 129)
STEPS = 6
PLACE = re.compile(r"([^\s()`]+\.py):(\d+)")


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
        sizes = generator.choice(np.arange(*SIZES), 2, replace=False).tolist()
        width, classes = generator.integers(*WIDTHS), generator.integers(6, 30)
        training_size = int(generator.integers(*EVEN))
        return cls(seed, int(width), tuple(sizes), training_size, int(classes))


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
    """The student's files, and what is wrong with whole files: cause and line, by name."""

    folder: Path
    broken: dict[str, tuple[str, int]] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """Return what is run: of a broken file, the starter's in its place."""
        return {
            name: (trees.STARTER if name in self.broken else self.folder) / name
            for name in trees.FILES
        }


def read(folder: Path) -> Port:
    """Return a student's port. Raises UserError where a file is missing."""
    port = Port(folder)
    for name in trees.FILES:
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has no {name}; python -m homework.start DIR writes the files to begin "
                "with"
            )
        broken = rules.breach(folder / name)
        if broken is not None:
            port.broken[name] = broken.cause, broken.line
    return port


class Grader:
    """Grades one port; `given` holds the torch sides that have been made, by width."""

    def __init__(
        self, port: Port, drawn: Drawn, folder: Path, given: dict[int | None, Side] | None = None
    ) -> None:
        self.port, self.drawn, self.folder = port, drawn, folder
        self.given = {} if given is None else given
        self.rehearsals: Rehearsals | None = None
        self.stands_in = False  # for the student's network, which cannot be made
        self.number = 0

    def grade(self, chosen: list[str], tell: Callable[[str], None] = lambda text: None):
        """Yield the grade of each of the chosen checkpoints."""
        tell("starting both frameworks")
        self.prepare()
        found: dict[str, Grade] = {}
        for name in chosen:
            tell(name)
            start = time.perf_counter()
            found[name] = grade = self.grade_one(name, found)
            grade.seconds = round(time.perf_counter() - start, 1)
            yield grade

    def prepare(self) -> None:
        """Have both networks described. A file that cannot even be read is told as broken.

        Raises UserError where that is no fault of the student's.
        """
        while True:
            self.stands_in = MODEL in self.port.broken
            try:
                self.rehearsals = self.assemble(None if self.stands_in else self.drawn.width)
                return
            except UserError as error:
                name, cause = self.blame(error)
                if name is None or name in self.port.broken:
                    raise
                self.port.broken[name] = cause

    def assemble(self, width: int | None) -> Rehearsals:
        """Put the trees together and prepare what all checkpoints begin with."""
        self.number += 1
        place = self.folder / str(self.number)
        if width not in self.given:
            own = {name: trees.GIVEN / name for name in trees.FILES}
            target = self.folder / "given" / str(width)
            self.given[width] = trees.assemble("torch", target, own, width)
        sides = {
            "torch": self.given[width],
            "paddle": trees.assemble("paddle", place / "port", self.port.files(), width),
        }
        (place / "rehearsals").mkdir(parents=True)
        size = self.drawn.training_size
        found = Rehearsals(sides, place / "rehearsals", self.drawn.seed, image_size=size)
        found.prepare()
        return found

    def blame(self, error: UserError) -> tuple[str | None, tuple[str, int]]:
        """Return the student's file that an error is about, and what it says and where."""
        text = str(error)
        if NAMES["torch"] in text.partition(":")[0]:
            return None, ("", 0)
        where = self.find_place(text)
        cause = said(text)
        if where is None:  # the network is what is made here
            return (None if self.stands_in else MODEL), (cause, 1)
        name, _, line = where.rpartition(":")
        return name, (cause, int(line))

    def find_place(self, text: str) -> str | None:
        """Return FILE:LINE of the last place in a text that is in one of the student's files."""
        tree = (self.folder / str(self.number) / "port").resolve()
        for file, line in reversed(PLACE.findall(text)):
            path = Path(file).resolve()
            if path.is_relative_to(tree) and str(path.relative_to(tree)) in trees.FILES:
                return f"{path.relative_to(tree)}:{line}"
        return None

    def grade_one(self, name: str, earlier: dict[str, Grade]) -> Grade:
        """Return the grade of one checkpoint."""
        grade = Grade(name, POINTS[name])
        broken = next((file for file in USES[name] if file in self.port.broken), None)
        if broken is not None:
            grade.cause, line = self.port.broken[broken]
            grade.where = self.shown(f"{broken}:{line}")
            grade.hint = hint_for_error(grade.cause)
            return grade
        if self.stands_in:
            grade.note = "on a small network that stands for yours, which cannot be made yet"
        verdict = self.run(name)
        grade.float64 = verdict.float64
        if verdict.verdict == ALIGNED:
            grade.verdict, grade.points = PASSED, grade.of
            return grade
        first = next(
            (one for one in NEEDS.get(name, ()) if one in earlier and earlier[one].points == 0),
            None,
        )
        if first is not None:
            grade.verdict, grade.hint = WAITS, hints.WAITS.format(first=first)
            return grade
        self.explain(grade, verdict)
        return grade

    def explain(self, grade: Grade, verdict: Verdict) -> None:
        """Say what is wrong, where, and what to think about; never what to write."""
        if verdict.verdict == ERROR:
            grade.cause = said(verdict.why)
            place, grade.hint = self.find_place(verdict.why), hint_for_error(grade.cause)
        else:
            grade.place, grade.cause = verdict.where, self.without_paths(verdict.cause)
            place = self.find_place(verdict.fix or "")
            grade.hint = hints.hint(grade.name, f"{verdict.where}: {verdict.cause}")
        grade.where = self.shown(place or USES[grade.name][0])

    def shown(self, place: str) -> str:
        """Return FILE:LINE in the student's folder."""
        return str(self.port.folder / place)

    def without_paths(self, text: str) -> str:
        """Return a text with the student's names of files in place of those of the copy."""
        tree = self.folder / str(self.number) / "port"
        for name in (f"{tree.resolve()}/", f"{tree}/"):
            text = text.replace(name, "")
        return text

    def run(self, name: str) -> Verdict:
        """Run one checkpoint; an error of the student's code is a verdict too."""
        given = self.rehearsals
        checks: dict[str, Callable[[], Verdict]] = {
            "forward": lambda: extra_checks.check_forward(given, self.drawn),
            "init": lambda: small_checks.check_init(given),
            "metric": lambda: small_checks.check_metric(given),
            "loss": lambda: extra_checks.check_loss(given),
            "backward": lambda: training_checks.check_backward(given),
            "lr": lambda: small_checks.check_lr(given),
            "optimizer": lambda: training_checks.check_optimizer(given),
            "training": lambda: training_checks.check_training(given, STEPS)[0],
        }
        try:
            return checks[name]()
        except UserError as error:
            if NAMES["torch"] in str(error).partition(":")[0]:
                raise
            return Verdict(name, ERROR, why=str(error))


def hint_for_error(cause: str) -> str:
    """Return the hint for what Python, or a rule, says."""
    if cause.startswith("NotImplementedError"):
        return hints.EMPTY
    return hints.RULE if cause.startswith("it ") else hints.CRASH


def said(text: str) -> str:
    """Return what a framework said, without who said it and where."""
    text = re.sub(r"^PaddlePaddle could not run \S+: ", "", text)
    return re.sub(r" \(\S+\.py:\d+\)", "", text)
