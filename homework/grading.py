"""Grade a port of the homework, checkpoint by checkpoint, by the project's own tools.

The student's files are run on weights, images and sizes that are drawn anew from a seed, against
the torch files of this repository (never a copy that the student holds).
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from homework import extra_checks, hints, trees
from homework.plan import ALONE, MODEL, NEEDS, PASSED, POINTS, USES, WAITS, Drawn, Grade, Port
from portproof.checks import backward, init, lr, metric, optimizer, training
from portproof.core.training_pair import TrainingPair
from portproof.core.verdict import ALIGNED, ERROR, Verdict
from portproof.networks import layer_types
from portproof.system.errors import UserError
from portproof.system.frameworks import NAMES
from portproof.worker.cache import Records
from portproof.worker.client import Side
from tools.project import PROJECT

STEPS = 4
PLACE = re.compile(rf"/port/((?:{'|'.join(map(re.escape, trees.FILES))}):\d+)")  # the student's
SMALL = "graded on a small network that stands for yours, which is not yet that of the torch file"


CHECKS: dict[str, Callable[[TrainingPair], Verdict]] = {
    "init": init.check_init,
    "metric": metric.check_metric,
    "loss": extra_checks.check_loss,
    "backward": backward.check_backward,
    "lr": lr.check_lr,
    "optimizer": optimizer.check_optimizer,
    "training": lambda pair: training.check_training(pair, STEPS)[0],
}


class Grader:
    """Grades one port; `made` holds the torch sides that have been made, by width."""

    def __init__(
        self, port: Port, drawn: Drawn, folder: Path, made: dict[int | None, Side] | None = None
    ) -> None:
        self.port, self.drawn, self.folder = port, drawn, folder
        self.torch_sides = {} if made is None else made
        self.pairs: dict[tuple, TrainingPair] = {}  # by files and width
        self.lacks_partners = False  # the student's network has other parameters than the torch one

    def grade(self, chosen: list[str], tell: Callable[[str], None]) -> Iterator[Grade]:
        """Yield the grade of each of the chosen checkpoints."""
        grades: dict[str, Grade] = {}
        for name in chosen:
            tell(name)
            start = time.perf_counter()
            grades[name] = grade = self.grade_one(name, grades)
            grade.seconds = round(time.perf_counter() - start, 1)
            yield grade

    def run(self, name: str) -> Verdict | None:
        """Run one checkpoint; None where a file that it is about cannot be run.

        An error of the student's code is a verdict too, but one in a file that the checkpoint is
        not about costs nothing: it is run without that file, or on a small network. Raises
        UserError where nothing can be graded, by no fault of the student's.
        """
        while not any(file in self.port.broken for file in USES[name]):
            files, width = self.choose(name)
            try:
                if (files, width) not in self.pairs:
                    self.pairs[files, width] = self.assemble(files, width)
            except UserError as error:
                self.blame(error, width)
                continue
            pair = self.pairs[files, width]
            if name in ALONE and width is not None and not all_paired(pair):
                self.lacks_partners = True
                continue
            try:
                return self.check(name, pair)
            except UserError as error:
                if is_of_torch(error):
                    raise
                file = (find_place(str(error)) or "").partition(":")[0]
                if not file or file in USES[name] or file in self.port.spared:
                    return Verdict(name, ERROR, why=str(error))
                self.port.spared.add(file)
        return None

    def check(self, name: str, pair: TrainingPair) -> Verdict:
        """Run the tool of a checkpoint."""
        if name == "forward":
            return extra_checks.check_forward(pair, self.drawn)
        return CHECKS[name](pair)

    def choose(self, name: str) -> tuple[tuple[str, ...], int | None]:
        """Return the student's files to grade with, and the width; None: with a small network."""
        files = self.port.files(name)
        if MODEL in files and not (name in ALONE and self.lacks_partners):
            return files, self.drawn.width
        return tuple(file for file in files if file != MODEL), None

    def assemble(self, files: tuple[str, ...], width: int | None) -> TrainingPair:
        """Put the trees together and prepare what all checkpoints begin with."""
        desk = self.folder / str(len(list(self.folder.iterdir())))
        if width not in self.torch_sides:
            originals = {name: trees.TORCH / name for name in trees.FILES}
            target = self.folder / f"torch-{width}"
            self.torch_sides[width] = trees.assemble("torch", target, originals, width)
        written = {name: self.port.folder / name for name in files}
        sides = {
            "torch": self.torch_sides[width],
            "paddle": trees.assemble("paddle", desk / "port", written, width),
        }
        (desk / "pair").mkdir()
        size, records = self.drawn.training_size, Records(PROJECT.records)
        pair = TrainingPair(sides, desk / "pair", self.drawn.seed, image_size=size, records=records)
        pair.prepare()
        return pair

    def blame(self, error: UserError, width: int | None) -> None:
        """Note which of the student's files cannot be run. Raises the error where it is none."""
        network = "" if width is None else f"{MODEL}:1"  # the network is what is made here
        name, _, line = (find_place(str(error)) or network).rpartition(":")
        if is_of_torch(error) or not name or name in self.port.broken:
            raise error
        self.port.broken[name] = said(str(error)), int(line)

    def grade_one(self, name: str, earlier: dict[str, Grade]) -> Grade:
        """Return the grade of one checkpoint."""
        grade = Grade(name, POINTS[name])
        verdict = self.run(name)
        if verdict is None:
            self.tell_broken(grade)
            return grade
        if self.choose(name)[1] is None:
            grade.note = SMALL
        grade.float64 = verdict.float64
        if verdict.verdict == ALIGNED:
            grade.verdict, grade.points = PASSED, grade.of
        elif first := waits_for(name, earlier):
            grade.verdict, grade.hint = WAITS, hints.WAITS.format(first=first)
        else:
            self.explain(grade, verdict)
        return grade

    def tell_broken(self, grade: Grade) -> None:
        """Say that a file which a checkpoint needs cannot be run."""
        name = next(file for file in USES[grade.name] if file in self.port.broken)
        grade.cause, line = self.port.broken[name]
        grade.where = f"{self.port.folder / name}:{line}"
        grade.hint = hint_for_error(grade.cause)

    def explain(self, grade: Grade, verdict: Verdict) -> None:
        """Say what is wrong, where, and what to think about; never what to write."""
        if verdict.verdict == ERROR:
            grade.cause = said(verdict.why)
            line, grade.hint = find_place(verdict.why), hint_for_error(grade.cause)
        else:
            grade.place, grade.cause = verdict.where, without_paths(verdict.cause)
            line = find_place(verdict.fix) or find_place(verdict.cause)
            line = line or self.find_layer(verdict.where)
            if grade.name == "init":  # a layer's start is drawn there, whatever the layer
                line = self.find_line(r"def init_weights\b") or line
            where = verdict.where.partition(" (")[0]  # not under which settings of the optimizer
            grade.hint = hints.hint(grade.name, f"{where}: {verdict.cause}")
        grade.where = str(self.port.folder / (line or USES[grade.name][0]))

    def find_layer(self, path: str) -> str | None:
        """Return FILE:LINE where the student gives a value to the attribute that holds a layer."""
        names = re.findall(r"[A-Za-z_]\w*", path.partition(",")[0])
        lines = (self.find_line(rf"\s*self\.{name}\s*=") for name in reversed(names))
        return next(filter(None, lines), None)

    def find_line(self, pattern: str) -> str | None:
        """Return FILE:LINE of the first line of the student's network that a pattern begins."""
        text = (self.port.folder / MODEL).read_text(errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if re.match(pattern, line):
                return f"{MODEL}:{number}"
        return None


def waits_for(name: str, earlier: dict[str, Grade]) -> str | None:
    """Return the first checkpoint that has to be passed before this one says anything new."""
    for need in NEEDS.get(name, ()):
        if need in earlier and not earlier[need].points:
            return need
    if name in ALONE and "backward" in earlier and earlier["backward"].place is not None:
        return "backward"  # a step that spoils its gradients spoils what is made of them
    return None


def all_paired(pair: TrainingPair) -> bool:
    """Say whether every tensor of both networks has a partner of its shape."""
    keys = pair.match.keys
    partners = {"torch": set(keys), "paddle": set(keys.values())}
    return all(
        key.key in partners[side] or key.role == layer_types.COUNTER
        for side, network in pair.networks.items()
        for key in network.keys.values()
    )


def find_place(text: str) -> str | None:
    """Return FILE:LINE of the last place in a text that is in one of the student's files."""
    return next(reversed(PLACE.findall(text)), None)


def is_of_torch(error: UserError) -> bool:
    """Say whether an error is of the torch side, which is not the student's."""
    return NAMES["torch"] in str(error).partition(":")[0]


def without_paths(text: str) -> str:
    """Return a text in which a file of the copy that is run has the student's name for it."""
    return re.sub(r"[^\s()]*/port/(?=\S+\.py)", "", text)


def hint_for_error(cause: str) -> str:
    """Return the hint for what Python, or a rule, says."""
    if cause.startswith("NotImplementedError"):
        return hints.EMPTY
    return hints.RULE if cause.startswith(("it imports", "it uses")) else hints.CRASH


def said(text: str) -> str:
    """Return what a framework said, without who said it and where."""
    text = re.sub(r"^PaddlePaddle could not run \S+: ", "", text)
    return re.sub(r" \(\S+\.py:\d+\)", "", text)
