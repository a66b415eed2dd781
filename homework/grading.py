"""Grade a port of the homework, checkpoint by checkpoint, by the project's own tools.

The student's files are run on weights, pictures and sizes that are drawn anew from a seed, against
the torch files of this repository (never a copy that the student holds).
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

from common.errors import UserError
from homework import extra_checks, hints, trees
from homework.plan import ALONE, MODEL, NEEDS, PASSED, POINTS, USES, WAITS, Drawn, Grade, Port
from tools import kinds, small_checks, training_checks
from tools.probes import NAMES, Side
from tools.rehearsals import Rehearsals
from tools.verdicts import ALIGNED, ERROR, Verdict

STEPS = 4
PLACE = re.compile(r"([^\s()`]+\.py):(\d+)")
SMALL = "graded on a small network that stands for yours, which is not yet that of the torch file"


class Grader:
    """Grades one port; `given` holds the torch sides that have been made, by width."""

    def __init__(
        self, port: Port, drawn: Drawn, folder: Path, given: dict[int | None, Side] | None = None
    ) -> None:
        self.port, self.drawn, self.folder = port, drawn, folder
        self.given = {} if given is None else given
        self.rehearsals: Rehearsals | None = None
        self.small: Rehearsals | None = None  # with a small network in place of the student's
        self.number = 0  # of port trees that have been put together

    def grade(self, chosen: list[str], tell: Callable[[str], None] = lambda text: None):
        """Yield the grade of each of the chosen checkpoints."""
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
            try:
                if MODEL in self.port.broken:
                    self.small = self.assemble(None)
                else:
                    self.rehearsals = self.assemble(self.drawn.width)
                return
            except UserError as error:
                name, cause = self.blame(error)
                if name is None or name in self.port.broken:
                    raise
                self.port.broken[name] = cause

    def rehearsals_for(self, name: str) -> Rehearsals:
        """Return what a checkpoint is graded on: the student's network, or a small one."""
        if self.rehearsals is None and self.small is None:
            self.prepare()
        if self.rehearsals is None or (name in ALONE and not all_paired(self.rehearsals)):
            self.small = self.small or self.assemble(None)
            return self.small
        return self.rehearsals

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
            return (None if MODEL in self.port.broken else MODEL), (cause, 1)
        name, _, line = where.rpartition(":")
        return name, (cause, int(line))

    def find_place(self, text: str) -> str | None:
        """Return FILE:LINE of the last place in a text that is in one of the student's files."""
        for file, line in reversed(PLACE.findall(text)):
            name = next((name for name in trees.FILES if file.endswith(f"/port/{name}")), None)
            if name is not None:
                return f"{name}:{line}"
        return None

    def grade_one(self, name: str, earlier: dict[str, Grade]) -> Grade:
        """Return the grade of one checkpoint."""
        grade = Grade(name, POINTS[name])
        rehearsals = None
        if not self.is_broken(grade):
            rehearsals = self.rehearsals_for(name)  # which may find a file broken
        if rehearsals is None or self.is_broken(grade):
            return grade
        if rehearsals is self.small:
            grade.note = SMALL
        verdict = self.run(name, rehearsals)
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

    def is_broken(self, grade: Grade) -> bool:
        """Say whether a file that a checkpoint needs cannot be run, and note that in its grade."""
        name = next((file for file in USES[grade.name] if file in self.port.broken), None)
        if name is not None:
            grade.cause, line = self.port.broken[name]
            grade.where = self.shown(f"{name}:{line}")
            grade.hint = hint_for_error(grade.cause)
        return name is not None

    def explain(self, grade: Grade, verdict: Verdict) -> None:
        """Say what is wrong, where, and what to think about; never what to write."""
        if verdict.verdict == ERROR:
            grade.cause = said(verdict.why)
            place, grade.hint = self.find_place(verdict.why), hint_for_error(grade.cause)
        else:
            grade.place, grade.cause = verdict.where, without_paths(verdict.cause)
            place = self.find_place(verdict.fix) or self.find_layer(verdict.where)
            if grade.name == "init":  # a layer's start is drawn there, whatever the layer
                place = self.find_line(r"def init_weights\b") or place
            grade.hint = hints.hint(grade.name, f"{verdict.where}: {verdict.cause}")
        grade.where = self.shown(place or USES[grade.name][0])

    def find_layer(self, path: str) -> str | None:
        """Return FILE:LINE where the student gives a value to the attribute that holds a layer."""
        names = re.findall(r"[A-Za-z_]\w*", path.partition(",")[0])
        found = (self.find_line(rf"\s*self\.{name}\s*=") for name in reversed(names))
        return next((place for place in found if place), None)

    def find_line(self, pattern: str) -> str | None:
        """Return FILE:LINE of the first line of the student's network that a pattern begins."""
        lines = (self.port.folder / MODEL).read_text(errors="replace").splitlines()
        found = (number for number, line in enumerate(lines, 1) if re.match(pattern, line))
        return next((f"{MODEL}:{number}" for number in found), None)

    def shown(self, place: str) -> str:
        """Return FILE:LINE in the student's folder."""
        return str(self.port.folder / place)

    def run(self, name: str, given: Rehearsals) -> Verdict:
        """Run one checkpoint; an error of the student's code is a verdict too."""
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


def all_paired(rehearsals: Rehearsals) -> bool:
    """Say whether every tensor of both networks has a partner of its shape."""
    keys = rehearsals.match.keys
    partners = {"torch": set(keys), "paddle": set(keys.values())}
    return all(
        key.key in partners[side] or key.role == kinds.COUNTER
        for side, network in rehearsals.networks.items()
        for key in network.keys.values()
    )


def without_paths(text: str) -> str:
    """Return a text in which a file of the copy that is run has the student's name for it."""
    return re.sub(r"\S*/port/(?=\S+\.py)", "", text)


def hint_for_error(cause: str) -> str:
    """Return the hint for what Python, or a rule, says."""
    if cause.startswith("NotImplementedError"):
        return hints.EMPTY
    return hints.RULE if cause.startswith("it ") else hints.CRASH


def said(text: str) -> str:
    """Return what a framework said, without who said it and where."""
    text = re.sub(r"^PaddlePaddle could not run \S+: ", "", text)
    return re.sub(r" \(\S+\.py:\d+\)", "", text)
