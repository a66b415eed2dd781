"""Locks: of several processes, one at a time writes a folder or a file.

A lock is a hidden file. The system holds it for a process and frees it when that process is gone,
however it went (flock(2)); inside stand the process and its host, for those who are refused.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from portproof.system.errors import UserError

KERNEL = Path("/proc/sys/kernel/random/boot_id")  # containers of one host share it
GRACE = 10.0  # seconds in which the workers of a killed holder end, which hold its lock too
LOOK_EVERY = 0.1  # seconds
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # of a file system that has none


class LockedError(UserError):
    """Another process holds the lock, or has left it on another host."""


class Holder(NamedTuple):
    """Who holds a lock."""

    host: str
    kernel: str
    process: int
    since: float  # Unix time, in seconds

    @classmethod
    def this_process(cls) -> "Holder":
        kernel = KERNEL.read_text().strip() if KERNEL.exists() else ""
        return cls(socket.gethostname(), kernel, os.getpid(), time.time())

    @classmethod
    def read(cls, lock: IO[str]) -> "Holder | None":
        """Return whom an open lock names; None where it names nobody, or nobody any more."""
        lock.seek(0)
        try:
            return cls(**json.loads(lock.read()))
        except (ValueError, TypeError):
            return None

    def is_on_this_host(self) -> bool:
        me = self.this_process()
        return self.host == me.host or self.kernel == me.kernel != ""

    def is_gone(self) -> bool:
        """Say whether the holder is known to have ended."""
        if not self.is_on_this_host():
            return False
        with contextlib.suppress(PermissionError):  # it is there, and another user's
            try:
                os.kill(self.process, 0)
            except ProcessLookupError:
                return True
        return False

    def __str__(self) -> str:
        minutes = max(time.time() - self.since, 0) / 60
        age = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        return f"process {self.process} on {self.host}, for {age}"


@contextmanager
def locked(path: Path, patience: float = math.inf) -> Iterator[IO[str]]:
    """Hold the lock of `path`, a hidden file beside it; another process waits `patience` seconds.

    Gives the open file: a process that inherits it holds the lock too. Raises OSError, and
    LockedError where the lock is not to be had.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.parent / f".{path.name}.lock"
    lock = take(file, patience)
    try:
        yield lock
    finally:
        release(file, lock)


def take(file: Path, patience: float = 0.0) -> IO[str]:
    """Take a lock and return its open file, for `release`.

    One whose holder was killed on this host is taken over; one that was left on another host never:
    that holder cannot be looked for from here. Raises OSError, and LockedError.
    """
    begun = time.monotonic()
    while (lock := _try_to_take(file)) is None:
        holder = _holder(file)
        grace = GRACE if holder is None or holder.is_gone() else 0.0  # None: it is just being taken
        if time.monotonic() - begun > max(patience, grace):
            raise _refusal(file, holder)
        time.sleep(LOOK_EVERY)
    holder = Holder.read(lock)
    if holder and not holder.is_on_this_host():
        lock.close()
        raise _refusal(file, holder)
    lock.truncate(0)
    json.dump(Holder.this_process()._asdict(), lock)
    lock.flush()
    return lock


def release(file: Path, lock: IO[str]) -> None:
    """Free a lock; its file goes first, so that who waits for it takes a new one."""
    file.unlink(missing_ok=True)
    lock.close()


def _try_to_take(file: Path) -> IO[str] | None:
    lock = open(file, "a+", encoding="utf-8")  # noqa: SIM115 (it stays open while it is held)
    if _is_free(lock) and _is_still(file, lock):
        return lock
    lock.close()
    return None


def _is_free(lock: IO[str]) -> bool:
    """Lock an open file if no process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        holder = Holder.read(lock)
        return holder is None or holder.is_gone()
    return True


def _is_still(file: Path, lock: IO[str]) -> bool:
    """Say whether an open file still has its name; its holder removes it as it ends."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), file.stat())
    except FileNotFoundError:
        return False


def _holder(file: Path) -> Holder | None:
    try:
        with open(file, encoding="utf-8") as lock:
            return Holder.read(lock)
    except OSError:
        return None


def _refusal(file: Path, holder: Holder | None) -> LockedError:
    if holder is None:
        return LockedError(f"{file}: another process holds this lock; wait for its end")
    if holder.is_on_this_host():
        return LockedError(f"{file}: held by {holder}; wait for its end, or stop it")
    return LockedError(f"{file}: held by {holder}; if that process is gone, delete this file")
