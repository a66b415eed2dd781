"""portproof/system/memory.py: what is freed stays with a process, until told to be given back."""

import sys

import pytest

from tests.support.helpers import run

# Blocks of 64 MiB are freed; how much more memory is resident than before is printed.
PROGRAM = """
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
    done = run(sys.executable, "-c", PROGRAM, how)
    assert done.returncode == 0, done.stderr
    kept, left = map(int, done.stdout.split())
    assert least <= kept <= most
    assert left < 60
