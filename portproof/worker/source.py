"""On which line of the user's code something happens, not the framework's or this library's."""

import inspect
import os
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from portproof.backends import backend
from portproof.system.errors import first_line

Stack = list[list]  # of [FILE, LINE]
Report = dict[str, Any]  # what a worker says, ready for JSON
LIBRARY = str(Path(__file__).resolve().parents[1]) + "/"
INSTALLED = {"site-packages", "dist-packages"}  # folders of installed packages
PYTHONS = tuple(f"{path(sysconfig.get_paths()['stdlib'])}/" for path in (str, os.path.realpath))


def is_users(file: str) -> bool:
    """Say whether code is the user's, and was not made on the way."""
    return not (file.startswith((LIBRARY, "<")) or backend.is_frameworks_code(file))


def installed(file: str) -> bool:
    """Say whether code belongs to a package that is installed, or to Python itself."""
    return file.startswith(PYTHONS) or bool(INSTALLED & set(Path(file).parts))


def user_stack(made: Any = None) -> Stack:
    """Return the callers that are the user's, as [FILE, LINE], the innermost first.

    Where `made` is an object that is being made, its own __init__ does not count.
    """
    return [
        [frame.f_code.co_filename, line]
        for frame, line in traceback.walk_stack(sys._getframe(1))
        if is_users(frame.f_code.co_filename)
        and (made is None or frame.f_locals.get("self") is not made)
    ]


def user_line(made: Any = None) -> str | None:
    """Return FILE:LINE of the innermost caller that is the user's, as `user_stack` has it."""
    stack = user_stack(made)
    return f"{stack[0][0]}:{stack[0][1]}" if stack else None


@contextmanager
def lines_noted(stack: Stack, traced: bool = True) -> Iterator[None]:
    """Add the lines of the user's code that run within to `stack`, as [FILE, LINE], the last first.

    Each line once, of this thread and those begun within; none if not `traced`.
    """
    if not traced:
        yield
        return
    lines: dict[tuple[str, int], None] = {}
    is_own = lru_cache(maxsize=None)(lambda file: is_users(file) and not installed(file))

    def note(frame: FrameType, event: str, argument: Any) -> Any:
        is_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # an import runs other code
        if not is_function or not is_own(frame.f_code.co_filename):
            return None
        if event == "line":
            lines.setdefault((frame.f_code.co_filename, frame.f_lineno))
        return note

    before = sys.gettrace()
    threading.settrace(note)
    sys.settrace(note)
    try:
        yield
    finally:
        sys.settrace(before)
        threading.settrace(before)
        known = {tuple(line) for line in stack}
        stack += [list(line) for line in reversed(lines) if line not in known]


def calling_line(beyond: str = "") -> str | None:
    """Return FILE:LINE of the user's code that calls a library, such as Pillow, by functions.

    None where the framework's code, such as a loader, lies between. `beyond`: a file whose
    innermost calls do not count.
    """
    for frame, line in traceback.walk_stack(sys._getframe(1)):
        file = frame.f_code.co_filename
        if backend.is_frameworks_code(file):
            break
        if is_users(file) and file != beyond and not installed(file):
            return f"{file}:{line}"
    return None


def describe_error(error: Exception) -> str:
    """Return the kind of an error, its first line, and the user's FILE:LINE where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{f.filename}:{f.lineno}" for f in frames if is_users(f.filename)]
    return f"{type(error).__name__}: {first_line(error)}" + "".join(f" ({n})" for n in lines[-1:])
