"""One process at a time holds a lock; who it is, is said; one that is gone holds nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from common.paths import ROOT
from portproof.system import locks

# Takes a lock, says so and holds it; with `fork` a child holds it too, and outlives it by a second.
HOLDER = """
import os, sys, time
from pathlib import Path
from portproof.system import locks
lock = locks.take(Path(sys.argv[1]))
parent = os.getpid()
if "fork" in sys.argv and os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.05)
    time.sleep(1)
    os._exit(0)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def hold(tmp_path):
    """A function that has another process hold the lock `.a.lock`, and gives that process."""
    processes = []

    def start(*how):
        command = [sys.executable, "-c", HOLDER, tmp_path / ".a.lock", *how]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_is_refused_with_the_name_of_the_first(tmp_path, hold):
    process = hold()
    begun = time.monotonic()
    with pytest.raises(locks.LockedError, match=rf"process {process.pid} on \S+, for 0 minutes"):
        locks.take(tmp_path / ".a.lock")
    assert time.monotonic() - begun < locks.GRACE


@pytest.mark.parametrize("how", [(), ("fork",)])
def test_one_whose_holder_was_killed_is_taken_over(tmp_path, hold, how):
    """Also while a child of it lives on for a moment: a loader's worker notices a second later."""
    process = hold(*how)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lock = locks.take(tmp_path / ".a.lock")
    assert json.loads((tmp_path / ".a.lock").read_text())["process"] == os.getpid()
    locks.release(tmp_path / ".a.lock", lock)
    assert list(tmp_path.iterdir()) == []


def test_who_waits_gets_it_when_it_is_free(tmp_path, hold):
    process = hold()
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLDER.replace("sys.argv[1])", "sys.argv[1]), 60"),
            tmp_path / ".a.lock",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(0.5)
        assert waiting.poll() is None
        process.kill()
        assert waiting.stdout.readline() == "held\n"
    finally:
        waiting.kill()
        waiting.communicate()


def other_host(file, **changes):
    holder = locks.Holder.this_process()._replace(host="elsewhere", kernel="another")
    file.write_text(json.dumps(holder._replace(**changes)._asdict()))


def test_one_of_another_host_is_never_taken(tmp_path):
    file = tmp_path / ".a.lock"
    other_host(file, process=77, since=time.time() - 3 * 3600)
    with pytest.raises(locks.LockedError) as caught:
        locks.take(file)
    text = str(caught.value)
    assert "process 77 on elsewhere, for 3 hours" in text and f"delete {file}" not in text
    assert "delete this file" in text and str(file) in text
    file.unlink()
    locks.release(file, locks.take(file))


def test_a_container_of_the_same_kernel_is_this_host(tmp_path):
    """Restarted, it has another host name; its lock is free, so its holder is gone."""
    file = tmp_path / ".a.lock"
    other_host(file, kernel=locks.Holder.this_process().kernel)
    locks.release(file, locks.take(file))


def test_a_damaged_note_is_nobody(tmp_path):
    file = tmp_path / ".a.lock"
    file.write_text('{"host": ')
    locks.release(file, locks.take(file))


def test_a_file_system_without_locks_goes_by_the_note(tmp_path, monkeypatch):
    file = tmp_path / ".a.lock"

    def no_locks(*_):
        raise OSError(locks.NO_LOCKS[0], "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    lock = locks.take(file)
    with pytest.raises(locks.LockedError, match=f"process {os.getpid()}"):
        locks.take(file)
    locks.release(file, lock)
    other_host(file, host=locks.Holder.this_process().host, process=2**22 + 1)  # no such process
    locks.release(file, locks.take(file))
