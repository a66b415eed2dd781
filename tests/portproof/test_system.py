"""portproof/system: processor settings, freed memory, and folders that are made atomically."""

import os
import sys
import threading
import time

import pytest

from portproof.system import atomic_folders, processor
from tests.support.helpers import assert_success, run

AVX2 = {"avx2", "fma", "sse4_2"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
SETTINGS = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE")


PROCESSORS = [("GenuineIntel", AVX512, None), ("AuthenticAMD", AVX512, "7")]
PROCESSORS += [("AuthenticAMD", AVX2, "5"), ("HygonGenuine", AVX2 | {"avx512f"}, "5")]
PROCESSORS += [("AuthenticAMD", {"sse4_2"}, None), ("", set(), None)]


@pytest.mark.parametrize(("vendor", "flags", "expected"), PROCESSORS)
def test_mkl_type_follows_the_processor(vendor, flags, expected):
    assert processor.mkl_type(vendor, flags) == expected


def test_cpuinfo_is_read(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("vendor_id\t: X\nmodel name\t: Y 7: Z\nflags\t: a b\n\nvendor_id\t: other\n")
    assert processor.describe(cpuinfo) == ("X", "Y 7: Z", {"a", "b"})
    vendor, _, flags = processor.describe(tmp_path / "missing")
    assert (vendor, flags) == ("", set())


def test_what_the_user_has_set_stays(monkeypatch):
    for name in SETTINGS:
        monkeypatch.setenv(name, "11")
    with processor.paddle_settings():
        pass
    assert [os.environ[name] for name in SETTINGS] == ["11", "11"]


def test_settings_are_made_and_other_warnings_still_shown(monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in SETTINGS:
        os.environ.pop(name, None)
    monkeypatch.setattr(processor, "describe", lambda: ("AuthenticAMD", "", AVX2))
    with processor.paddle_settings():
        print("WARNING: OMP_NUM_THREADS set to 2, not 1.", file=sys.stderr)
        print("PLEASE USE OMP_NUM_THREADS WISELY.", file=sys.stderr)
        print("something else is wrong", file=sys.stderr)
    assert [os.environ[name] for name in SETTINGS] == [str(processor.available_cores()), "5"]
    assert capsys.readouterr().err == "something else is wrong\n"


# Blocks of 64 MiB are freed; how much more memory is resident than before is printed.
FREE = """
import ctypes, os, sys
from portproof.system import memory
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

if sys.argv[1] == "keep":
    assert memory.keep_freed()
before = resident()
for _ in range(2):
    blocks = [library.malloc(64 << 20) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 64 << 20)
    for block in blocks:
        library.free(block)
print(resident() - before)
memory.give_back()
print(resident() - before)
"""


@pytest.mark.parametrize(("how", "least", "most"), [("keep", 240, 300), ("not", 0, 60)])
def test_freed_memory_stays_until_it_is_given_back(how, least, most):
    kept, left = map(int, assert_success(run(sys.executable, "-c", FREE, how)).stdout.split())
    assert least <= kept <= most
    assert left < 60


@pytest.fixture
def make(tmp_path):
    """A function that makes the folder `data`, of which version 1 holds a file called image."""

    def make_folder(fill=lambda partial: (partial / "image").touch(), version=1):
        atomic_folders.make(tmp_path / "data", "thing", {"version": version}, fill)

    return make_folder


def is_complete(folder):
    return atomic_folders.is_complete(folder / "data", "thing", {"version": 1})


def test_two_at_once_make_it_once(tmp_path, make):
    """The lock belongs to an open file, so two threads stand for two processes."""
    calls, entered = [], threading.Event()

    def fill(partial):
        calls.append(partial)
        entered.set()
        time.sleep(0.2)  # the other one would come in here

    first, second = (threading.Thread(target=make, args=[fill]) for _ in range(2))
    first.start()
    assert entered.wait(10)
    second.start()
    first.join()
    second.join()
    assert len(calls) == 1 and is_complete(tmp_path)


def test_another_description_is_made_anew(tmp_path, make):
    make()
    (tmp_path / "data" / "old").touch()
    make(version=2)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"image", "thing.json"}


def test_a_failure_leaves_the_old_folder(tmp_path, make):
    make()

    def fail(partial):
        (partial / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(fail, version=2)
    assert is_complete(tmp_path) and (tmp_path / "data" / "image").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
