"""The environments that the converters run in: each its own, so that what it needs touches nothing.

They stand beside the project's own, .venv-convert for PaConvert and .venv-convert-x2paddle for
X2Paddle, and are made at first use from tools/convert/shipped/*.txt, whole or not at all.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError
from common.paths import ROOT
from tools.probes import FRAMEWORKS, NAMES

FOLDERS = {"paconvert": ".venv-convert", "x2paddle": ".venv-convert-x2paddle"}
TITLES = {"paconvert": "PaConvert", "x2paddle": "X2Paddle"}
REQUIREMENTS = Path(__file__).parent / "shipped"
STAMP = ".complete"
X2PADDLE_PYTHONS = ((3, 10), (3, 11))  # it was written for these and older ones
# Where an interpreter has a framework, and of which Python it is.
FIND = """
import importlib.util, json, sys
spec = importlib.util.find_spec(sys.argv[1])
where = spec and spec.submodule_search_locations[0].rpartition("/")[0]
print(json.dumps([where, sys.version_info[:2]]))
"""


def python(converter: str) -> Path:
    """Return the converter's interpreter; its environment is made where it is not there.

    Raises UserError where this Python is none of the converter's, or nothing can be installed.
    """
    folder = ROOT / FOLDERS[converter]
    interpreter = folder / "bin" / "python"
    if converter == "x2paddle" and sys.version_info[:2] not in X2PADDLE_PYTHONS:
        raise UserError(
            f"--with x2paddle: X2Paddle 1.6.0 runs on Python 3.10 and 3.11, and this is "
            f"{sys.version_info[0]}.{sys.version_info[1]}; set up with one of these (PYTHON=... "
            "bash scripts/setup.sh), or use --with paconvert"
        )
    wanted = _wanted(converter)
    if is_made(converter):
        return interpreter
    with _locked(folder):
        if not is_made(converter):
            _make(converter, folder, wanted)
    return interpreter


def is_made(converter: str) -> bool:
    """Say whether the environment stands, as it is wanted now."""
    stamp = ROOT / FOLDERS[converter] / STAMP
    return stamp.is_file() and stamp.read_text() == _wanted(converter)


def _wanted(converter: str) -> str:
    """Return what an environment is made of, to be compared with what it was made of."""
    requirements = (REQUIREMENTS / f"{converter}.txt").read_text()
    return f"{os.path.realpath(sys.executable)}\n{ROOT}\n{requirements}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Within, no other process makes this environment."""
    try:
        lock = open(folder.with_name(folder.name + ".lock"), "w")  # noqa: SIM115, closed below
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from error
    with lock:  # until it is closed
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(converter: str, folder: Path, wanted: str) -> None:
    print(f"setting up {folder.name} for {TITLES[converter]} (once)", file=sys.stderr, flush=True)
    borrowed = _frameworks() if converter == "x2paddle" else []
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run(folder, sys.executable, "-m", "venv", str(folder))
        own = folder / "bin" / "python"
        _run(folder, own, "-m", "pip", "install", "--no-cache-dir", "--progress-bar", "off",
             "--requirement", REQUIREMENTS / f"{converter}.txt")  # fmt: skip
        if borrowed:  # after its own packages, and with what those folders add themselves
            lines = [f"import site; site.addsitedir({path!r})" for path in borrowed]
            site = next((folder / "lib").glob("python3.*")) / "site-packages"
            (site / "frameworks.pth").write_text("\n".join(lines) + "\n")
        (folder / STAMP).write_text(wanted)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _frameworks() -> list[str]:
    """Return the folders in which both frameworks are installed. Raises UserError without one."""
    folders = []
    for framework in FRAMEWORKS:
        where = os.environ.get(f"{framework.upper()}_PYTHON") or sys.executable
        done = subprocess.run([where, "-c", FIND, framework], capture_output=True, text=True)
        folder, version = json.loads(done.stdout) if done.returncode == 0 else (None, None)
        if folder is None:
            raise UserError(
                f"--with x2paddle needs {NAMES[framework]}, which {where} does not have; run "
                "bash scripts/setup.sh, or use --with paconvert"
            )
        if tuple(version) != sys.version_info[:2]:
            raise UserError(
                f"--with x2paddle needs both frameworks in one Python; {where} is another version"
            )
        if folder not in folders:
            folders.append(folder)
    return folders


def _run(folder: Path, *command: object) -> None:
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    settings = {"TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=os.environ | settings
    )
    shutil.rmtree(scratch, ignore_errors=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UserError(
            f"{folder.name} cannot be made ({(said or ['no reason given'])[0]}); check the network "
            "(or proxy) and the disk, and try again"
        )
