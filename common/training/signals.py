"""SIGINT and SIGTERM as a wish that a run grants when its step is over."""

import os
import signal
import sys


class Stop:
    """Notes the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    Paddle's launcher sends three SIGTERM. Worker processes inherit the handlers, so that Ctrl-C
    does not kill them under the last step.
    """

    def __init__(self, catches: bool) -> None:
        """`catches`: no signal is noted in a process that is somebody else's."""
        self.signal = 0  # 0: none has come
        self.catches = catches
        self.process = os.getpid()
        for number in (signal.SIGINT, signal.SIGTERM) if catches else ():
            signal.signal(number, self._note)

    def _note(self, number: int, frame) -> None:
        if self.signal == number == signal.SIGINT and os.getpid() == self.process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self.process, number)
        self.signal = number

    def leave(self, number: int, message: str) -> None:
        """Say why, if there is a message, and end the process with exit status 130 or 143."""
        if message and self.catches:
            name = signal.Signals(number).name
            print(f"stopped by {name}: {message}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)
