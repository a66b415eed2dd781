"""Errors that are the user's to mend: one clear line, exit status 2, never a traceback."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BAD_INPUT = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE)
# What frameworks say, in lower case, and what it means for who runs them; the first that fits.
KNOWN = (
    (
        ("shared memory", "bus error"),
        "too little shared memory for the images of the loader's workers: use --workers 0, fewer "
        "workers or a smaller --batch-size, or give a container more by --shm-size (/dev/shm)",
    ),
    (
        ("dataloader worker", "dataloader process", "blocking queue is killed"),
        "a worker that reads images has been killed, most likely by the system for want of memory: "
        "use fewer --workers or a smaller --batch-size, then resume by --resume auto",
    ),
    (
        ("out of memory", "memoryerror", "allocate memory", "alloc memory", "bad_alloc"),
        "out of memory; use a smaller --batch-size (with --accumulate N the step stays as large), "
        "a smaller --image-size, or fewer --workers",
    ),
)


class RunError(Exception):
    """A run that cannot go on, by no mistake of usage: exit status 1. Its text says what to do."""


class UserError(Exception):
    """Wrong usage or bad input. Its text says what is wrong, where, and what to do."""


def run(main: Callable[[], Any]) -> None:
    """Call `main` and leave the process with its exit status; 2 and one line on a UserError."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold any bytes
    sys.stdout, sys.stderr = Console(sys.stdout), Console(sys.stderr)
    try:
        check_clone()
        status = main()
    except UserError as error:
        fail(str(error))
    except RunError as error:
        _tell(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        line = known(error)
        if line is None:
            raise
        fail(line)
    sys.exit(status if isinstance(status, int) else 0)


def check_clone() -> None:
    """Raise UserError where the program is of one clone and what it imports of another.

    The .venv of a clone that was copied leads to the first one.
    """
    own = Path(sys.argv[0]).resolve().parent.parent / "portproof" / "system" / "errors.py"
    if own.exists() and own != Path(__file__).resolve():
        other = Path(__file__).resolve().parents[2]
        raise UserError(
            f"this Python is that of another clone, {other}, whose code it would run; make one "
            "for this clone: bash scripts/setup.sh"
        )


class Console:
    """A stream that goes on into nothing when who reads it has gone (`| head -1`)."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable, *arguments: str) -> None:
        try:
            act(*arguments)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def known(error: Exception) -> str | None:
    """Return in a line what an error of a framework or of the system means; None if unknown."""
    number = getattr(error, "errno", None)
    if number in FULL + NOT_WRITABLE:
        where = getattr(error, "filename", None) or "the disk"
        what = "free some space" if number in FULL else "look at the disk and its rights"
        why = f"cannot be written ({os.strerror(number)})"
        return f"{where}: {why}; {what}, then resume by --resume auto"
    text = "out of memory" if isinstance(error, MemoryError) else str(error).lower()
    return next((line for words, line in KNOWN if any(word in text for word in words)), None)


def fail(message: str) -> None:
    """Print `message` as one line on standard error and leave with exit status 2."""
    _tell(message)
    sys.exit(BAD_INPUT)


def _tell(message: str) -> None:
    line = " ".join(part.strip() for part in message.splitlines() if part.strip())
    print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)


Kinds = type[Exception] | tuple[type[Exception], ...]


@contextmanager
def explained(what: str, advice: str, kinds: Kinds = Exception) -> Iterator[None]:
    """Turn what is raised within, of these kinds, into a UserError: `what` (why); `advice`."""
    try:
        yield
    except kinds as error:  # readers and writers in C++ and Rust have error types of their own
        raise UserError(f"{what} ({reason(error)[0]}); {advice}") from error


def speak_once(rank: int) -> None:
    """Silence the standard output of all processes of a job but the first."""
    if rank > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (it stays open)


def show(path: str | Path) -> str:
    """Return a file name on one line: line breaks and what cannot be printed as escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(path)
    )


def reason(error: Exception) -> tuple[str, int | None]:
    """Return why a file could not be read or written, and the system's number if it has one."""
    known = error if isinstance(error, OSError) else error.__context__
    return getattr(known, "strerror", None) or first_line(error), getattr(known, "errno", None)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
