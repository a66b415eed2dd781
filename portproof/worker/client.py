"""Ask a worker. Each framework runs in a process of its own; the tools run in neither."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portproof.port import Settings
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.system.processor import available_cores

START = Path(__file__).with_name("start.py")


@dataclass(frozen=True)
class Side:
    """One framework's half of a comparison: a port, or a network that is none of a port's."""

    framework: str
    port: Path | None
    model: dict[str, Any] | None = None  # its `name`, MODULE:CALLABLE, and `arguments`
    settings: Settings = field(default_factory=dict)  # of the port
    environment: dict[str, str] = field(default_factory=dict)  # more than this process's own
    own_files: tuple[str, ...] = ()  # beside the port, those that its user writes; none: all
    is_original: bool = False  # it is what the other side is held to
    is_fresh: bool = False  # a process of its own for each request: nothing is made already

    @property
    def python(self) -> str:
        """The interpreter: TORCH_PYTHON or PADDLE_PYTHON where set, else the one that runs this."""
        return os.environ.get(f"{self.framework.upper()}_PYTHON") or sys.executable

    def ask(self, folder: Path, **parts: dict[str, Any]) -> dict[str, Any]:
        """Run parts of a request with their settings; return what each reports.

        Files that a part writes lie in `folder`, which is made. Raises UserError with the worker's
        own words where it fails.
        """
        if self.model is None and not self.port.is_file():
            raise UserError(f"{self.port}: there is no such port file")
        folder.mkdir(parents=True, exist_ok=True)  # of a request that failed
        port = str(self.port.resolve()) if self.model is None else None
        request = {"settings": self.settings, "network": self.model, "port": port, **parts}
        (folder / "request.json").write_text(json.dumps(request))
        with _worker_of(self) as worker:
            worker.ask(folder)
        return {part: json.loads((folder / f"{part}.json").read_text()) for part in parts}

    @property
    def folder(self) -> Path:
        """Where the port and its sources lie."""
        return self.port.parent

    @property
    def key(self) -> tuple[str, ...]:
        """What tells apart the workers that are kept: each has one port at most."""
        return self.python, self.framework, str(self.port.resolve()) if self.model is None else ""


Sides = dict[str, Side]  # by framework


def _last_line(text: str) -> str:
    """Return the line that says what went wrong: the first of an exception, or the last of all."""
    _, traceback, end = text.rpartition("Traceback (most recent call last)")
    raised = re.search(r"^(?:\[rank\d+\]: *)?((?:\w+\.)*\w*Error: *\S.{19,})$", end, re.MULTILINE)
    if traceback and raised:
        return raised[1]
    return (text.strip().splitlines() or [""])[-1]


def settings() -> dict[str, str]:
    """Return settings for two sides that answer at the same time; the user's own stay.

    More threads than cores would wait for each other. Large pages are cleared in large steps.
    https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
    """
    threads = max(available_cores() // len(FRAMEWORKS), 1)
    usual = {"OMP_NUM_THREADS": str(threads), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    return usual | os.environ


class _Worker:
    """A worker's process, which answers requests until it is closed."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115, closed in close()
        self.process = subprocess.Popen(
            [side.python, START, side.framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            env=settings() | side.environment,
            start_new_session=True,  # a group of its own: close() ends its workers too
        )

    def ask(self, folder: Path) -> None:
        """Have the request.json in a folder answered there.

        Raises UserError with the worker's own words where it fails.
        """
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(str(folder)), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        error, is_users = json.loads(line) if line else (self._last_words(), False)
        if error and is_users:
            raise UserError(error)
        if error:
            side = self.side
            name = side.model["name"] if side.model else f"{side.folder.name}/{side.port.name}"
            what = f"{NAMES[side.framework]} could not run {name}"
            raise UserError(f"{what}: {error}{self._port_line()}")

    def _read_stderr(self) -> str:
        """Return what the worker has written to standard error, without moving its place there."""
        file = self.stderr.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def _last_words(self) -> str:
        """Return what a worker that has ended said last, or else how it ended."""
        status, words = self.process.wait(), _last_line(self._read_stderr())
        if status < 0:
            reason = "out of memory?" if status == -signal.SIGKILL else words
            words = f"killed by signal {-status}" + (f" ({reason})" if reason else "")
        return words or f"it ended with status {status}"

    def _port_line(self) -> str:
        """Return, in brackets, the line beside the port on which the last traceback ends."""
        if self.side.port is None:
            return ""
        trace = self._read_stderr().rpartition("Traceback (most recent call last)")[2]
        folder = self.side.folder.resolve()
        for file, line in reversed(re.findall(r'File "(.+?)", line (\d+)', trace)):
            if folder in Path(file).parents:
                return f" ({file}:{line})"
        return ""

    def close(self) -> None:
        """End the worker and the processes that it has started, such as workers of a loader."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.stderr):
            stream.close()


MOST_KEPT = 4  # of half a gigabyte each; of more, the one that has answered least recently ends
_kept: dict[tuple[str, ...], _Worker] | None = None


@contextmanager
def _worker_of(side: Side) -> Iterator[_Worker]:
    """Give the side's worker, which is kept for the next request, or ends after this one."""
    if _kept is None or side.environment or side.is_fresh:
        with contextlib.closing(_Worker(side)) as worker:
            yield worker
        return
    worker = _kept.pop(side.key, None) or _Worker(side)
    _kept[side.key] = worker
    while len(_kept) > MOST_KEPT:
        _kept.pop(next(iter(_kept))).close()
    try:
        yield worker
    finally:
        if worker.process.poll() is not None:
            _kept.pop(side.key).close()


@contextmanager
def kept_running() -> Iterator[None]:
    """Within, a worker that has been started answers every later request too, and ends at last."""
    global _kept
    if _kept is not None:  # within another of these, which ends them
        yield
        return
    _kept = {}
    try:
        yield
    finally:
        for worker in _kept.values():
            worker.close()
        _kept = None


def ask_both(
    sides: list[Side],
    folder: Path | list[Path],
    requests: list[dict],
    answered: Callable[[Side, Path], None] = lambda side, folder: None,
) -> list[dict[str, Any]]:
    """Ask several sides at the same time, each in its own folder within `folder`, or in these.

    `answered` is called of each one as soon as it has answered, whatever becomes of the others.
    """
    folders = folder if isinstance(folder, list) else [folder / side.framework for side in sides]

    def ask(side: Side, folder: Path, request: dict) -> dict[str, Any]:
        reports = side.ask(folder, **request)
        answered(side, folder)
        return reports

    with ThreadPoolExecutor(len(sides)) as pool:
        waiting = [pool.submit(ask, *each) for each in zip(sides, folders, requests, strict=True)]
        return [future.result() for future in waiting]


def to_mend(sides: Sides) -> str:
    """Return the side that is to be mended: the one that is no original, or Paddle's."""
    is_torch = sides["paddle"].is_original and not sides["torch"].is_original
    return "torch" if is_torch else "paddle"


@contextmanager
def scratch(near: Path | None = None) -> Iterator[Path]:
    """Give a folder for temporary files, emptied at the end. `near`: on the disk of this path."""
    with tempfile.TemporaryDirectory(prefix=".tools-", dir=near) as folder:
        yield Path(folder)
