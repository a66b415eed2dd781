"""Hold a converted project to the original, by the commands that hold ports written by hand."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from portproof.cli import forward, training
from portproof.cli.project import Project
from portproof.convert.environments import Environment
from portproof.core.verdict import ALIGNED, DIVERGED, Verdict
from portproof.port import PORT
from portproof.report import align as align_report
from portproof.system.errors import UserError
from portproof.worker.client import scratch


@dataclass(frozen=True)
class Verification:
    """A project's folder, what it was converted to and by which converter's environment."""

    source: Path
    target: Path
    environment: Environment
    project: Project

    def verify(self, steps: int) -> bool:
        """Compare forward and training, print what comes out, and say whether all is aligned."""
        verdicts = [self.forward(), self.training(steps)]
        for verdict in verdicts:
            words = ALIGNED if verdict.aligned else f"{DIVERGED}: {verdict.cause}"
            float64, float32 = map(align_report.figure, (verdict.float64, verdict.float32))
            print(f"{verdict.name}: {words} (float64 {float64}, float32 {float32})")
        return all(verdict.aligned for verdict in verdicts)

    def forward(self) -> Verdict:
        """Compare every layer's output, on the same weights and inputs."""
        return self._compare("forward", forward, [])

    def training(self, steps: int) -> Verdict:
        """Compare the first steps of the training, on drawn batches."""
        options = ["--drawn", "--steps", str(steps)]
        return self._compare(f"training, {steps} steps", training, options)

    def _compare(self, name: str, command: ModuleType, options: list[str]) -> Verdict:
        """Compare the port files of both folders by a command.

        Raises UserError where it could not compare; that one of the two could not be run is a
        difference.
        """
        printed = io.StringIO()
        with scratch() as folder, _converted(self.environment, printed):
            file = folder / "result.json"
            words = [*options, "--json", str(file)]
            for framework, tree in (("torch", self.source), ("paddle", self.target)):
                words += [f"--{framework}-port", str(tree.resolve() / PORT)]
            try:
                status = command.main(words, self.project)
            except UserError as error:
                if "could not run" not in str(error):
                    raise
                return Verdict(name, DIVERGED, cause=str(error))
            report = json.loads(file.read_text())
        row = report.get("checkpoints", [report])[0]  # of `forward`, it is the report itself
        lines = [line for line in printed.getvalue().splitlines() if line.strip()]
        figures = row.get("float64"), row.get("float32")
        return Verdict(name, DIVERGED if status else ALIGNED, *figures, cause=lines[-1])


@contextmanager
def _converted(environment: Environment, printed: io.StringIO) -> Iterator[None]:
    """Within, workers run as converted code does; what is printed goes to `printed`."""
    before = dict(os.environ)
    os.environ.update(environment.variables())
    try:
        with redirect_stdout(printed), redirect_stderr(io.StringIO()):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
