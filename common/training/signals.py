"""SIGINT and SIGTERM as a wish that a run grants when its step is over."""

import os
import signal
import sys


class Stop:
    """Notes the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    A second SIGTERM does not: Paddle's launcher sends three, a fifth of a second apart. Worker
    processes inherit the handlers, so that Ctrl-C, which reaches them too, does not kill them under
    the step that is to be finished.
    """

    def __init__(self) -> None:
        self.signal = 0  # 0: none has come
        self.process = os.getpid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame) -> None:
        if self.signal == number == signal.SIGINT and os.getpid() == self.process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self.process, number)
        self.signal = number

    def leave(self, number: int, told: str) -> None:
        """End the process as shells expect it of a signal: exit status 130 or 143."""
        if told:
            name = signal.Signals(number).name
            print(f"stopped by {name}: {told}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)


class NoSignals:
    """Stands for Stop where the process belongs to somebody else: no handler is set."""

    def __init__(self) -> None:
        self.signal = 0  # set by who asks the run to stop

    def leave(self, number: int, told: str) -> None:
        """End as after a signal."""
        raise SystemExit(128 + number)
