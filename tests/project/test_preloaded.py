"""tests/support/preloaded.py stands for Python: the same words do the same, and end the same."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support import preloaded
from tests.support.helpers import TIMEOUT, is_running, run, run_warm, start, wait_until

SAY = """
import json, os, sys
print(json.dumps([sys.argv, sys.path, __name__, os.getcwd(), os.environ["RANK"], sys.stdin.read()]))
"""
HAS_PADDLE = "import sys; print('paddle' in sys.modules)"


@pytest.mark.parametrize("form", ["program", "module", "file"])
def test_it_gives_a_process_what_python_gives(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "7")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"), prepend=os.pathsep)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "say.py").write_text(SAY)
    forms = {"program": ["-c", SAY], "module": ["-m", "inner.say"], "file": ["inner/say.py"]}
    found = []
    for python in (sys.executable, preloaded.interpreter("paddle")):
        command = [str(python), *forms[form], "one", "two words"]
        done = subprocess.run(command, input="read", capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]


def test_the_framework_is_there_unless_a_setting_differs():
    assert run_warm("paddle", "-c", HAS_PADDLE).stdout == "True\n"
    assert run_warm("paddle", "-W", "ignore", "-c", HAS_PADDLE).stdout == "True\n"
    assert run_warm("paddle", "-c", HAS_PADDLE, OMP_NUM_THREADS="7").stdout == "False\n"


@pytest.mark.parametrize(
    "end", ["sys.exit(3)", "sys.exit('told')", "os.kill(os.getpid(), 9)", "1 / 0"]
)
def test_it_ends_as_the_process_did(end):
    words = ["-c", f"import os, sys\n{end}"]
    cold, warmed = run(sys.executable, *words), run_warm("paddle", *words)
    assert (cold.returncode, cold.stdout) == (warmed.returncode, warmed.stdout)
    assert cold.stderr.splitlines()[-1:] == warmed.stderr.splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_process_too(number):
    words = ["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    command = [preloaded.interpreter("paddle"), *words]
    with start(*command, stdout=subprocess.PIPE) as process:
        behind = int(process.stdout.readline())
        assert is_running(behind)
        process.send_signal(number)
        assert process.wait(TIMEOUT) == -number
    wait_until(lambda: not is_running(behind))
