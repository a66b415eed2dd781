"""When a run is saved, and when it ends before its time."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from common import checkpoints
from common.checkpoints import SUFFIX
from common.progress import Progress
from common.run_folder import RunFolder
from common.stopping import Stop


class Keeper:
    """Saves a run every so many steps or minutes, after each epoch, and when it is told to stop."""

    def __init__(
        self,
        args: argparse.Namespace,
        run: RunFolder,
        stop: Stop,
        progress: Progress,
        steps_per_epoch: int,
        write: Callable[[Path, Progress], None],
        agree: Callable[[list[int]], list[int]],
    ) -> None:
        """`progress` is where the run begins, and `write` writes a checkpoint to a path.

        `agree` gives the largest of each number over all processes, so that they stop at the same
        step, and save it.
        """
        self.args = args
        self.run = run
        self.stop = stop
        self.steps_per_epoch = steps_per_epoch
        self.write = write
        self.agree = agree
        self.steps = 0  # since the last checkpoint
        self.saved_at = time.monotonic()
        self.stopped_by = 0  # a signal, to any of the processes
        if run.writes:
            checkpoints.begin(run.path, SUFFIX[args.framework], self._number(progress))

    def is_due(self) -> bool:
        """Say, after each step, whether a checkpoint is to be written now."""
        self.steps += 1
        every = self.args.save_every
        if every.endswith("m"):
            due = time.monotonic() - self.saved_at >= 60 * int(every[:-1])
        else:
            due = self.steps >= int(every)
        due = due and self.run.writes  # clocks differ: the process that writes decides
        self.stopped_by, due = self.agree([self.stop.signal, int(due)])
        return bool(due or self.stopped_by)

    def save(self, progress: Progress, is_best: bool = False) -> None:
        """Write a checkpoint; then end the process if a signal has asked for it."""
        step = self._number(progress)
        path = None
        if self.run.writes:
            path = checkpoints.write(
                self.run.path,
                step,
                SUFFIX[self.args.framework],
                lambda partial: self.write(partial, progress),
                self.args.keep,
                is_best,
            )
        self.steps, self.saved_at = 0, time.monotonic()
        if not self.stopped_by:  # one may have come since, as in a long evaluation
            (self.stopped_by,) = self.agree([self.stop.signal])
        if self.stopped_by:
            told = f"step {step} is over and saved; go on by --resume {path}" if path else ""
            self.stop.leave(self.stopped_by, told)

    def _number(self, progress: Progress) -> int:
        """Return how many steps of the run are over."""
        return progress.epoch * self.steps_per_epoch + progress.step

    def last(self) -> str:
        """Return the newest checkpoint in words."""
        paths = [path for _, path in checkpoints.found(self.run.path, SUFFIX[self.args.framework])]
        return str(paths[0]) if paths else "none yet"
