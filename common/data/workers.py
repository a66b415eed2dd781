"""What a loader's processes do with signals, and when the one that has started them is gone.

Ctrl-C, launchers and batch systems send a signal to all processes. The trainer finishes its step,
for which it needs its workers; but both frameworks have SIGTERM kill those at once.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EVERY = 1.0  # seconds
ENDING = {signal.SIGINT, signal.SIGTERM}


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
