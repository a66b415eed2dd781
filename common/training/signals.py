"""SIGINT and SIGTERM as a wish that a run grants when its step is over, or soon without it."""

import os
import signal
import sys
import threading
import time

# Seconds that a step has to end in: batch systems kill some 30 seconds after they have asked.
PATIENCE = 25.0
ENDING = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal has come while the model was evaluated: what was trained is to be saved."""


class Stop:
    """Notes the first SIGINT or SIGTERM; a second SIGINT ends the process at once.

    Paddle's launcher sends three SIGTERM. Worker processes inherit the handlers, so that Ctrl-C
    does not kill them under the last step.
    """

    current: "Stop | None" = None  # of this process

    def __init__(self, catches: bool) -> None:
        """`catches`: no signal is noted in a process that is somebody else's."""
        self.signal = 0  # 0: none has come
        self.catches = catches
        self.process = os.getpid()
        self.saving = threading.Lock()  # held while a checkpoint is written
        self.leaving = False
        if not catches:
            return
        Stop.current = self
        for number in ENDING:
            signal.signal(number, self._note)
        noted, note = os.pipe()
        os.set_blocking(note, False)
        signal.set_wakeup_fd(note, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=[noted], daemon=True).start()

    def _note(self, number: int, frame) -> None:
        if self.signal == number == signal.SIGINT and os.getpid() == self.process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self.process, number)
        self.signal = number

    def _watch(self, noted: int) -> None:
        """End the process where a step does not: `_note` waits for Python, which may wait for ever.

        The system writes each signal's number to the pipe at once, whatever Python is at.
        """
        number = 0
        while number not in ENDING:
            number = os.read(noted, 1)[0]
        time.sleep(PATIENCE)
        with self.saving:
            if not self.leaving:
                print(
                    f"stopped by {signal.Signals(number).name}: the step was not over within "
                    f"{PATIENCE:.0f} seconds and is not saved; resume by --resume auto",
                    file=sys.stderr,
                    flush=True,
                )
            os._exit(128 + number)

    def leave(self, number: int, message: str) -> None:
        """Say why, if there is a message, and end the process with exit status 130 or 143."""
        self.leaving = True
        if message and self.catches:
            name = signal.Signals(number).name
            print(f"stopped by {name}: {message}", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)


def leave_evaluation() -> None:
    """Raise Stopped, between two batches of an evaluation, where a signal has come."""
    if Stop.current and Stop.current.signal:
        raise Stopped
