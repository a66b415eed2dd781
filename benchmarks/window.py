"""A window of a training's steps, timed in the training's own process.

Trees (benchmarks.run_tree) and peers (benchmarks.peers) are timed by this same class, which stands
between their loop and what hands it its batches. Start-up and the first steps are left out. What it
gives:

    images_per_s       images over the seconds of the window
    images_per_core_s  images over the processor seconds of this process and its children
    wait_share         share of the window in which the loop waited for images, per cent
    step_seconds       the median of a step, the waiting left out
    resident_mb        the most memory that this process had (not its loader processes), megabytes
    ready_at           when the first batch was there, seconds since 1970
"""

import contextlib
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from portproof.system import errors
from portproof.system.command_line import Parser, whole

TICKS = os.sysconf("SC_CLK_TCK")  # a second, of /proc
SHARED_MEMORY = Path("/dev/shm")


@dataclass
class Window:
    """Passes batches on, and times the steps between them: first those to warm up, then `steps`."""

    warm_steps: int
    steps: int
    between: Callable[[], None] = lambda: None  # to be run after each step, untimed
    settle: Callable[[], None] = lambda: None  # waits until the device is done
    waited: list[float] = field(default_factory=list)  # seconds, of each step
    computed: list[float] = field(default_factory=list)
    images: int = 0
    processor_seconds: float = 0.0
    ready_at: float = 0.0
    loaders: Sequence[int] = ()  # processes that read the images

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass on as many batches (images, labels) as the window has. Raises UserError if fewer."""
        source = iter(batches)
        for number in range(self.warm_steps + self.steps):
            used, start = processor_seconds(), time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                message = f"the images are used up after {number} batches"
                advice = "name more images, fewer steps or a smaller batch"
                raise errors.UserError(f"{message}; {advice}") from None
            got = time.perf_counter()
            self.ready_at = self.ready_at or time.time()
            yield batch
            self.settle()
            self.loaders = children()
            if number >= self.warm_steps:
                self.waited.append(got - start)
                self.computed.append(time.perf_counter() - got)
                self.processor_seconds += processor_seconds() - used
                self.images += len(batch[1])
                self.between()

    def repeat(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass on the first batch again and again, so that no reading is measured."""
        first = next(iter(batches))
        yield from self.watch(first for _ in range(self.warm_steps + self.steps))

    def figures(self) -> dict[str, float]:
        """Return what the window gave, by the names above."""
        seconds = sum(self.waited) + sum(self.computed)
        return {
            "images_per_s": self.images / seconds,
            "images_per_core_s": self.images / self.processor_seconds,
            "wait_share": 100 * sum(self.waited) / seconds,
            "step_seconds": statistics.median(self.computed),
            "resident_mb": peak_resident() / 1e6,
            "ready_at": self.ready_at,
        }


def processor_seconds() -> float:
    """Return the processor time that this process and its living children have used. Linux."""
    ticks = 0
    for child in children():
        try:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        ticks += int(fields[11]) + int(fields[12])  # user, system
    return time.process_time() + ticks / TICKS


def children(process: int | str = "self") -> list[int]:
    """Return the numbers of the processes that a process has started. Linux."""
    numbers: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended
            numbers += map(int, (task / "children").read_text().split())
    return numbers


def leave(figures: dict[str, float], loaders: Sequence[int]) -> NoReturn:
    """Print the figures and end this process and those of its loader, at once.

    Batches that were read ahead are not used; Paddle would leave them in the shared memory.
    """
    print(json.dumps(figures), flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # that they end is no error now
    for number in loaders:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it has ended
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
        for left in SHARED_MEMORY.glob(f"paddle_{number}_*"):
            left.unlink(missing_ok=True)
    os._exit(0)


def peak_resident() -> int:
    """Return the most resident memory that this process has had, in bytes. Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def add_arguments(parser: Parser) -> None:
    """Add what trees and peers are asked in the same words."""
    parser.add_argument("--warm-steps", type=whole(0), default=5, help="not timed (5)")
    parser.add_argument("--steps", type=whole(1), default=10, help="timed (10)")
    parser.add_argument("--read-only", action="store_true", help="read batches, train nothing")
