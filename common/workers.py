"""What a loader's process does when the one that has started it is gone."""

import os
import threading
import time

EVERY = 1.0  # seconds


def end_with_parent(worker: int) -> None:
    """End this process as soon as its parent has ended, be it by kill -9: a worker_init_fn.

    `worker` is its number in the loader; it is not needed. torch's workers watch their parent by
    themselves; those of Paddle 3.3.1 wait for ever for what to load next.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
