"""When a run is saved, and when it ends before its time."""

import functools
import time
from collections.abc import Callable
from pathlib import Path

from common.training import checkpoint_files
from common.training.checkpoint_files import SUFFIX
from common.training.progress import Progress
from common.training.run_folder import RunFolder
from common.training.signals import Stop

LOOK_EVERY = 1.0  # seconds between two looks at what the other processes want: each waits for all


class CheckpointManager:
    """Saves a run every so many steps or minutes, after each epoch, and before a signal ends it."""

    def __init__(
        self,
        run: RunFolder,
        stop: Stop,
        steps_per_epoch: int,
        write: Callable[[Path, Progress], None],
        agree: Callable[[list[int]], list[int]] | None = None,
    ) -> None:
        """`write` writes a checkpoint; `agree`, of several processes, gives the largest numbers."""
        self.suffix = SUFFIX[run.args.framework]
        self.run = run
        self.stop = stop
        self.every = int(run.args.save_every.removesuffix("m"))
        self.in_minutes = run.args.save_every.endswith("m")
        self.steps_per_epoch = steps_per_epoch
        self.write = write
        self.alone = agree is None
        self.agree = agree or list
        self.steps = 0  # since the last checkpoint
        self.saved_at = time.monotonic()
        self.stopped_by = 0  # a signal, to any of the processes
        self.gap = self.ahead = 1  # steps from one look to the next, and of these those to come
        self.looked_at = self.saved_at

    def begin(self, progress: Progress) -> None:
        """Remove the checkpoints that a run which begins at `progress` will write anew."""
        if self.run.writes:
            checkpoint_files.begin(self.run.path, self.suffix, self._number(progress))

    def is_due(self) -> bool:
        """Say, after each step, whether a checkpoint is to be written now."""
        self.steps += 1
        self.run.has_begun = True
        self.ahead -= 1
        if self.ahead > 0:
            return False
        due = gap = 0
        if self.run.writes:  # clocks differ: the process that writes decides
            due, gap = int(self._steps_or_minutes_are_over()), self._steps_to_look()
        self.stopped_by, due, self.gap = self.agree([self.stop.signal, due, gap])
        self.ahead, self.looked_at = self.gap, time.monotonic()
        return bool(due or self.stopped_by)

    def _steps_or_minutes_are_over(self) -> bool:
        if self.in_minutes:
            return time.monotonic() - self.saved_at >= 60 * self.every
        return self.steps >= self.every

    def _steps_to_look(self) -> int:
        """Return after how many steps to look again: about a second's, where others are asked."""
        if self.alone:
            return 1
        seconds = max(time.monotonic() - self.looked_at, 1e-9)
        steps = min(int(self.gap * LOOK_EVERY / seconds), 2 * self.gap)
        if not self.in_minutes:
            steps = min(steps, self.every - self.steps % self.every)
        return max(steps, 1)

    def save(self, progress: Progress, is_best: bool = False) -> None:
        """Write a checkpoint; then end the process if a signal has asked for it."""
        step, run = self._number(progress), self.run
        path = None
        if run.writes:
            save = functools.partial(self.write, progress=progress)
            keep = run.args.keep
            run.check_is_there()
            with self.stop.saving:
                path = checkpoint_files.write(run.path, step, self.suffix, save, keep, is_best)
        self.steps, self.saved_at = 0, time.monotonic()
        if not self.stopped_by:  # one may have come since, as in a long evaluation
            (self.stopped_by,) = self.agree([self.stop.signal])
        if self.stopped_by:
            message = f"step {step} is over and saved; resume by --resume {path}" if path else ""
            self.stop.leave(self.stopped_by, message)

    def _number(self, progress: Progress) -> int:
        """Return how many steps of the run are over."""
        return progress.epoch * self.steps_per_epoch + progress.step

    def last(self) -> str:
        """Return the newest checkpoint in words."""
        paths = checkpoint_files.listed(self.run.path, self.suffix)
        return str(paths[0][1]) if paths else "none yet"
