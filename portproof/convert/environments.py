"""The environments that the converters run in: each its own, so that what it needs touches nothing.

They lie in a folder that the caller names, or in the user's cache: .venv-convert for PaConvert and
.venv-convert-x2paddle for X2Paddle. They are made atomically at first use, from shipped/*.txt.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.system.locks import locked
from portproof.worker.cache import user_cache

FOLDERS = {"paconvert": ".venv-convert", "x2paddle": ".venv-convert-x2paddle"}
TITLES = {"paconvert": "PaConvert", "x2paddle": "X2Paddle"}
SHIPPED = Path(__file__).parent / "shipped"
STAMP = ".complete"
X2PADDLE_PYTHONS = ((3, 10), (3, 11))  # it was written for these and older ones
# Where an interpreter has a framework, and of which Python it is.
FIND = """
import importlib.util, json, sys
spec = importlib.util.find_spec(sys.argv[1])
where = spec and spec.submodule_search_locations[0].rpartition("/")[0]
print(json.dumps([where, sys.version_info[:2]]))
"""


@dataclass(frozen=True)
class Environment:
    """The environment of a converter, below `root` (none: in the user's cache)."""

    converter: str
    root: Path | None = None

    @property
    def folder(self) -> Path:
        """Where it stands, or is to stand."""
        return (self.root or user_cache()) / FOLDERS[self.converter]

    @property
    def is_made(self) -> bool:
        """Whether it stands, as it is wanted now."""
        stamp = self.folder / STAMP
        return stamp.is_file() and stamp.read_text() == self._wanted()

    def python(self) -> Path:
        """Return its interpreter; the environment is made where it is not there.

        Raises UserError where this Python is none of the converter's, or nothing can be installed.
        """
        if self.converter == "x2paddle" and sys.version_info[:2] not in X2PADDLE_PYTHONS:
            what = "--with x2paddle: X2Paddle 1.6.0 runs on Python 3.10 and 3.11, and this is "
            what += platform.python_version()
            raise UserError(f"{what}; run it by one of these, or use --with paconvert")
        if not self.is_made:
            try:
                with locked(self.folder.with_name(self.folder.name[1:])):  # its lock is hidden
                    if not self.is_made:  # by another process, meanwhile
                        self._make()
            except OSError as error:
                raise UserError(f"{self.folder}: cannot be made ({error.strerror})") from error
        return self.folder / "bin" / "python"

    def variables(self) -> dict[str, str]:
        """Return the variables with which converted code runs: X2Paddle's output needs X2Paddle.

        What is imported from `root`, such as by ports, is found there.
        """
        path = [str(self.root or ""), os.environ.get("PYTHONPATH", "")]
        variables = {"PYTHONPATH": os.pathsep.join(filter(None, path))}
        if self.converter == "x2paddle":
            variables["PADDLE_PYTHON"] = str(self.python())
        return variables

    def _wanted(self) -> str:
        """Return what it is made of, to be compared with what it was made of."""
        requirements = (SHIPPED / f"{self.converter}.txt").read_text()
        return f"{os.path.realpath(sys.executable)}\n{self.folder.parent}\n{requirements}"

    def _make(self) -> None:
        folder, title = self.folder, TITLES[self.converter]
        print(f"setting up {folder.name} for {title} (once)", file=sys.stderr, flush=True)
        borrowed = _frameworks() if self.converter == "x2paddle" else []
        shutil.rmtree(folder, ignore_errors=True)
        requirements = SHIPPED / f"{self.converter}.txt"
        options = ["--no-cache-dir", "--progress-bar", "off", "--requirement", requirements]
        try:
            _run(folder, sys.executable, "-m", "venv", folder)
            _run(folder, folder / "bin" / "python", "-m", "pip", "install", *options)
            if borrowed:  # after its own packages, and with what those folders add themselves
                lines = [f"import site; site.addsitedir({path!r})" for path in borrowed]
                site = next((folder / "lib").glob("python3.*")) / "site-packages"
                (site / "frameworks.pth").write_text("\n".join(lines) + "\n")
            (folder / STAMP).write_text(self._wanted())
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _frameworks() -> list[str]:
    """Return the folders in which both frameworks are installed. Raises UserError without one."""
    folders = {}
    for framework in FRAMEWORKS:
        python = os.environ.get(f"{framework.upper()}_PYTHON") or sys.executable
        done = subprocess.run([python, "-c", FIND, framework], capture_output=True, text=True)
        folder, version = json.loads(done.stdout) if done.returncode == 0 else (None, None)
        if folder is None:
            what = f"--with x2paddle needs {NAMES[framework]}, which {python} does not have"
            raise UserError(f"{what}; install it there, or use --with paconvert")
        if tuple(version) != sys.version_info[:2]:
            what = "--with x2paddle needs both frameworks in one Python"
            raise UserError(f"{what}; {python} is another version")
        folders[folder] = framework
    return list(folders)


def _run(folder: Path, *command: object) -> None:
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    settings = {"TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    words, variables = list(map(str, command)), os.environ | settings
    done = subprocess.run(words, capture_output=True, text=True, env=variables)
    shutil.rmtree(scratch, ignore_errors=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        what = f"{folder.name} cannot be made ({(errors or ['no reason given'])[0]})"
        raise UserError(f"{what}; check the network (or proxy) and the disk, and try again")
