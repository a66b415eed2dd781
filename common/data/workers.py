"""What a loader's processes do with signals, and when the one that has started them is gone.

Ctrl-C, launchers and batch systems send a signal to all processes. The trainer finishes its step,
for which it needs its workers; but both frameworks have SIGTERM kill those at once.
"""

import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portproof.system.errors import UserError

EVERY = 1.0  # seconds
LONG = 60.0  # seconds without a batch after which a loader is named
AHEAD = 2  # batches that a worker holds ready, in both frameworks
SHARED = Path("/dev/shm")
ENDING = {signal.SIGINT, signal.SIGTERM}


def check_shared_memory(batch_bytes: int, workers: int) -> None:
    """Raise UserError where the batches that workers hold ready find no room.

    Both frameworks hand batches over in /dev/shm; torch 2.12.1 hangs where it is full.
    """
    if not workers or not SHARED.is_dir():
        return
    needed, free = AHEAD * workers * batch_bytes, shutil.disk_usage(SHARED).free
    if needed > free:
        raise UserError(
            f"{SHARED}: {free / 1e6:.0f} MB free, and --workers {workers} put up to "
            f"{needed / 1e6:.0f} MB of images there; use --workers 0, fewer workers or a smaller "
            "--batch-size, or give a container more: docker run --shm-size 1g"
        )


def watched(batches: Iterator[Any]) -> Iterator[Any]:
    """Pass the batches of a loader on; say on standard error where none comes for long."""
    watch = Watch()
    watch.start()
    try:
        while True:
            watch.since = time.monotonic()
            batch = next(batches, None)
            watch.since = math.inf
            if batch is None:
                return
            yield batch
    finally:
        watch.over.set()


class Watch(threading.Thread):
    """Says once that a loader gives nothing, `since` the moment that it was asked for a batch."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.since = math.inf
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(EVERY):
            if time.monotonic() - self.since > LONG:
                _name_loader()
                return


def _name_loader() -> None:
    free = f"{shutil.disk_usage(SHARED).free / 1e6:.0f} MB" if SHARED.is_dir() else "nothing"
    print(
        f"warning: the loader has given no images for {LONG:.0f} seconds: does the disk or network "
        f"share answer? {SHARED} has {free} free (--workers 0 needs none); Ctrl-C ends the run",
        file=sys.stderr,
        flush=True,
    )


@contextmanager
def signals_held() -> Iterator[None]:
    """Within, no signal to end reaches this thread, nor any process or thread begun meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(worker: int) -> None:
    """End this process when its parent says so or has ended, be it by kill -9: a worker_init_fn.

    Signals of others are passed over. Workers of Paddle 3.3.1 would else wait for ever for what to
    load next, and leave batches in memory as files.
    """
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # in every thread, for sigtimedwait to see

    def watch() -> None:
        while os.getppid() == parent:
            ending = signal.sigtimedwait(ENDING, EVERY)
            if ending and ending.si_pid == parent:
                break
        for batch in Path("/dev/shm").glob(f"paddle_{os.getpid()}_*"):
            batch.unlink(missing_ok=True)
        os._exit(0)  # else the frameworks take it for a failure

    threading.Thread(target=watch, daemon=True).start()
