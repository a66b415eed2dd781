"""Commands as processes, several at a time; those that run when the program stops save first."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import IO, Any, TypeVar

SAVING = 30  # seconds that a training has to end by itself
LOOK_EVERY = 1  # seconds
Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Stopped(Exception):
    """The program is about to end: nothing is begun any more."""


class Runner:
    """Begins processes, and waits for them. All inherit `lock`, an open file, and so hold it."""

    def __init__(self, lock: IO[str] | None = None) -> None:
        self.inherited = [lock.fileno()] if lock else []
        self.processes: list[subprocess.Popen] = []
        self.stopped = False

    def run(self, command: Sequence[object], **options: Any) -> int:
        """Return a command's exit status, run with options of Popen. Raises Stopped at `stop`."""
        if self.stopped:
            raise Stopped
        words = [str(word) for word in command]
        process = subprocess.Popen(words, pass_fds=self.inherited, **options)
        self.processes.append(process)
        if self.stopped:  # meanwhile, so that `stop` may not have seen it
            process.terminate()
        status = process.wait()
        if self.stopped:
            raise Stopped
        return status

    def stop(self, by_terminal: bool = False) -> None:
        """Have what runs save and end, and wait for it; nothing is begun afterwards.

        Ctrl-C reaches every process of a terminal. They are told again only if they run on: a
        launcher that is told twice gives its trainings no time to save.
        """
        self.stopped = True
        running = [process for process in self.processes if process.poll() is None]
        end = time.monotonic() + (SAVING if by_terminal else 0)
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(end - time.monotonic(), 0))
            process.terminate()  # does nothing where it has ended
        for process in running:
            process.wait()

    def perform_all(
        self,
        tasks: Sequence[Task],
        perform: Callable[[Task], Outcome],
        done: Callable[[Task, Outcome], None],
        jobs: int = 1,
        fits: Callable[[Task], bool] = lambda task: True,
    ) -> list[Task]:
        """Perform the tasks, `jobs` at a time; return those that do not fit when their turn is.

        `perform` calls `run`; `done` is told what came out. Raises what the first failing task
        raised, once the others have saved.
        """
        left, unfit = list(tasks), []
        active: dict[Future, Task] = {}
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while left or active:
                    while left and len(active) < jobs:
                        task = left.pop(0)
                        if fits(task):
                            active[pool.submit(perform, task)] = task
                        else:
                            unfit.append(task)
                    # Not for ever: a signal that comes just before is noted when it wakes.
                    finished, _ = wait(active, LOOK_EVERY, FIRST_COMPLETED)
                    for future in finished:
                        done(active.pop(future), future.result())
            except BaseException as error:
                self.stop(by_terminal=isinstance(error, KeyboardInterrupt))
                raise
        return unfit


def leave_at_sigterm() -> None:
    """Have SIGTERM end this program as shells expect it, with what it leaves behind tidied up."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
