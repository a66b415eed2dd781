"""SIGINT and SIGTERM as a wish that a run grants when its step is over."""

import os
import signal
import sys


class NoSignals:
    """Notes no signal: the process is somebody else's. Who stops the run sets `signal`."""

    def __init__(self) -> None:
        self.signal = 0  # 0: none has come

    def leave(self, number: int, message: str) -> None:
        """End the process as shells expect it of a signal: exit status 130 or 143."""
        raise SystemExit(128 + number)


class Stop(NoSignals):
    """Notes the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    Paddle's launcher sends three SIGTERM. Worker processes inherit the handlers, so that Ctrl-C
    does not kill them under the last step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.process = os.getpid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame) -> None:
        if self.signal == number == signal.SIGINT and os.getpid() == self.process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self.process, number)
        self.signal = number

    def leave(self, number: int, message: str) -> None:
        """Print why, unless `message` is empty, and end the process."""
        if message:
            name = signal.Signals(number).name
            print(f"stopped by {name}: {message}", file=sys.stderr, flush=True)
        super().leave(number, message)
