"""Interpreters that have their framework imported already, for tests that start hundreds.

A server imports torch and torchvision (three seconds) or Paddle (one) once, and forks itself for
each process. `interpreter(framework)` is a program that stands for Python: it hands its words,
folder, environment and streams to the server, waits, and ends as the process did. Where settings
differ that libraries read as they are imported, it starts Python itself. Limits (ulimit), masks and
the like are the server's: what is tested with them runs as ever.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

# What may differ: settings that are read as a process begins its work, or that only speed it up.
FREE = {"GLIBC_TUNABLES", "PYTEST_CURRENT_TEST", "PYTHONPATH", "TORCH_PYTHON"}
FREE |= {"MPLCONFIGDIR"}  # common.training.plots sets it, in the server too
FREE |= {"LD_LIBRARY_PATH", "TORCHINDUCTOR_CACHE_DIR"}  # OpenCV and torch do, as they are imported
# What launchers and shells set for each process.
FREE |= {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PYTHON_EXEC"}
FREE |= {"SHLVL", "PWD", "OLDPWD", "_"}
OF_LAUNCHERS = ("GROUP_", "LOCAL_", "ROLE_", "TORCHELASTIC_", "TORCH_NCCL_", "PADDLE_", "POD_")
COLD = "cold"
PROJECT = ("common", "portproof")
environment: dict[str, str] = {}  # of the servers: as it was before any test changed it
_started: dict[str, tuple[Path, subprocess.Popen]] = {}


def interpreter(framework: str) -> Path:
    """Return the program that stands for Python; its server starts now and ends with the tests."""
    if framework not in _started:
        folder = Path(tempfile.mkdtemp(prefix="preloaded-"))
        program, path = folder / framework, str(folder / "socket")
        words = [sys.executable, "-I", "-S", __file__, "--ask", path]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o700)
        words = [sys.executable, "-m", "tests.support.preloaded", "--serve", path, framework]
        # Its input ends with this process, and the server with it.
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
        root = Path(__file__).parents[2]
        server = subprocess.Popen(words, **streams, cwd=root, start_new_session=True)
        server.stdout.readline()  # it listens
        atexit.register(server.communicate)  # ends its input, and waits
        _started[framework] = program, server
    return _started[framework][0]


def ask(path: str, words: list[str]) -> None:
    """Have the server run these words, and end as they did. Needs the standard library alone."""
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    request = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
    socket.send_fds(link, [b"0"], [0, 1, 2])
    lines = link.makefile("rw")
    print(json.dumps(request), file=lines, flush=True)
    process = json.loads(lines.readline())
    if process == COLD:
        os.execv(sys.executable, [sys.executable, *words])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    status = json.loads(lines.readline())
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def serve(path: str, framework: str) -> list[str]:
    """Take requests until the tests end; returns in the forked processes alone, what they run."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    print("listening", flush=True)
    own = dict(os.environ)
    _load(framework)
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:
            shutil.rmtree(Path(path).parent)
            sys.exit()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is waited for
        link, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            return attend(link, own)
        link.close()


def attend(link: socket.socket, own: dict[str, str]) -> list[str]:
    """Fork what a request asks for and wait for its end; returns in the forked process alone."""
    _, streams, _, _ = socket.recv_fds(link, 1, 3)
    lines = link.makefile("rw")
    request = json.loads(lines.readline())
    if settings(request["environment"]) != settings(own):
        print(json.dumps(COLD), file=lines, flush=True)
        os._exit(0)
    process = os.fork()
    if process == 0:
        os.setsid()
        lines.close()
        link.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["folder"])
        own, theirs = _folders(own), _folders(request["environment"])
        sys.path[1:] = [*theirs, *(folder for folder in sys.path[1:] if folder not in own)]
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.executable = os.environ.get("PYTHON_EXEC", sys.executable)  # of what a launcher starts
        return request["words"]
    print(process, file=lines, flush=True)
    for stream in streams:
        os.close(stream)
    ready, _, _ = select.select([link, os.pidfd_open(process)], [], [])
    if link in ready:  # who asked is gone
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(OSError):
        print(status, file=lines, flush=True)
    os._exit(0)


def become(words: list[str]) -> None:
    """Run as Python would with these words: -c PROGRAM, -m MODULE or a file, and arguments."""
    words = words[1:] if words[0] == "-u" else words
    if words[0] == "-W":
        warnings.simplefilter(words[1])
        words = words[2:]
    first, *rest = words
    if first == "-c":
        module = types.ModuleType("__main__")
        sys.modules["__main__"], sys.argv, sys.path[0] = module, ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), vars(module))
    elif first == "-m":
        sys.argv, sys.path[0] = rest, os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


def run_and_leave(words: list[str]) -> NoReturn:
    """Run as Python would, and end without visiting, and so copying, what the server shares."""
    status = 0
    try:
        become(words)
    except KeyboardInterrupt:
        raise  # ends by the signal, as Python does
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what libraries may read as they are imported."""
    names = [name for name in environment if name not in FREE and not name.startswith(OF_LAUNCHERS)]
    return {name: environment[name] for name in names}


def _folders(environment: dict[str, str]) -> list[str]:
    """Return the folders that PYTHONPATH names."""
    return [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]


def _load(framework: str) -> None:
    """Import a framework and what both trees draw with; forget the project's own modules."""
    from common.training import plots
    from portproof.system import processor

    if framework == "torch":
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    else:
        with processor.paddle_settings():
            import paddle  # noqa: F401
    plots.new_figure(1, 1)
    for name in [name for name in sys.modules if name.partition(".")[0] in PROJECT]:
        del sys.modules[name]
    gc.freeze()  # what is shared stays so: no collection touches it


if __name__ == "__main__":
    if sys.argv[1] == "--ask":
        ask(sys.argv[2], sys.argv[3:])
    run_and_leave(serve(*sys.argv[2:]))
