"""Run a converter on a copy of a project, in the converter's own environment."""

import ast
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from portproof.convert import api_tables, rewrites
from portproof.convert.environments import Environment
from portproof.convert.source import Finding, Source
from portproof.convert.texts import python_files, read_text
from portproof.convert.trees import nodes
from portproof.system.errors import UserError

LEFT_OUT = ("__pycache__", ".git", ".venv*", "venv", "*.egg-info", ".ipynb_checkpoints", "runs")
REFUSED = re.compile(
    r"Can not convert the file (.+)\.\nThe unsupported packages or operators are: \[(.*)\]\."
)
SHELL = (".sh", ".bash", ".zsh")
TRIES = 4  # a rewrite of what X2Paddle refuses may bring to light what it refuses next


@dataclass
class Counts:
    """Lines of Python, without comments and layout: changed by the converter, then by the rules."""

    lines: int = 0
    by_machine: int = 0
    by_rules: int = 0
    files: int = 0
    not_written: int = 0


@dataclass
class Conversion:
    """What a converter made: `folder` holds its files, which are finished afterwards."""

    folder: Path
    seconds: float
    findings: list[Finding] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)  # by file, what it does not know
    counts: Counts = field(default_factory=Counts)


def stage(project: Path, folder: Path) -> Path:
    """Copy a project's Python and shell scripts. Raises UserError where there is no Python."""
    if project.is_file():
        folder.mkdir(parents=True)
    copy(project, folder, is_no_source)
    if not python_files(folder):
        raise UserError(f"{project}: holds no Python; name a project's folder, or a .py file")
    for path in python_files(folder):
        name = path.relative_to(folder)
        try:
            ast.parse(read_text(path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            reason = getattr(error, "msg", "no UTF-8")
            where = f"{project if project.is_file() else project / name}:{line}"
            advice = "mend the file, or take it out of the folder"
            raise UserError(f"{where}: no Python of version 3 ({reason}); {advice}") from error
    return folder


def copy(source: Path, folder: Path, is_left_out: Callable[[Path], bool], *patterns: str) -> None:
    """Copy a file into a folder, or a folder's contents but what is left out.

    `patterns` are of more names than LEFT_OUT. Raises UserError where something cannot be read.
    """
    by_name = shutil.ignore_patterns(*LEFT_OUT, *patterns)

    def ignored(inside: str, names: list[str]) -> set[str]:
        named = by_name(inside, names)
        return named | {name for name in set(names) - named if is_left_out(Path(inside, name))}

    try:
        if source.is_file():
            shutil.copy(source, folder / source.name)
        else:
            shutil.copytree(
                source, folder, ignore=ignored, ignore_dangling_symlinks=True, dirs_exist_ok=True
            )
    except (shutil.Error, PermissionError) as error:
        name, reason = error.filename, error.strerror
        if isinstance(error, shutil.Error):  # of all that could not be copied
            name, _, reason = error.args[0][0]
        raise UserError(f"{name}: cannot be copied ({reason}); look at its rights") from error


def is_linked(path: Path) -> bool:
    """Say whether a path is a link to a folder: to data, most of the time."""
    return path.is_symlink() and path.is_dir()


def is_no_source(path: Path) -> bool:
    """Say whether a path is not looked at: data, weights, a linked folder."""
    return is_linked(path) or (path.is_file() and path.suffix not in (".py", *SHELL))


def convert(
    environment: Environment, staged: Path, target: Path, leave: set[str] = frozenset()
) -> Conversion:
    """Convert `staged` into `target`; rules in `leave` are left out. Raises UserError."""
    python = environment.python()
    conversion = Conversion(target.resolve(), 0.0)
    start = time.perf_counter()
    if environment.converter == "paconvert":
        words = ["-i", staged.resolve(), "-o", conversion.folder, "--no_format"]
        _run("PaConvert", python, "-m", "paconvert.main", *words)
    else:
        _run_x2paddle(python, staged.resolve(), conversion, leave)
    conversion.seconds = time.perf_counter() - start
    return conversion


def _run_x2paddle(python: Path, staged: Path, conversion: Conversion, leave: set[str]) -> None:
    wrong = [names for rule, names in api_tables.BEFORE_X2PADDLE.items() if rule not in leave]
    for path in python_files(staged):
        file = str(path.relative_to(staged))
        conversion.findings += make_acceptable(staged, file, set().union(*wrong))
    folders = [f"--project_dir={staged}", f"--save_dir={conversion.folder}"]
    command = [python, "-m", "x2paddle.convert", "--convert_torch_project", *folders]
    for _ in range(TRIES):
        shutil.rmtree(conversion.folder, ignore_errors=True)
        output = _run("X2Paddle", *command, "--disable_feedback=True")
        conversion.refused, rewritten = {}, []
        for path, names in REFUSED.findall(output):
            file, unknown = str(Path(path).relative_to(staged)), re.findall(r"[\w.]+", names)
            conversion.refused[file] = unknown
            rewritten += make_acceptable(staged, file, set(unknown))
        conversion.findings += rewritten
        if not rewritten:
            break


def _run(title: str, *command: object) -> str:
    settings = {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}  # the same order at each run
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        errors="replace",
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | settings,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"{title} failed: {(lines or ['it gave no reason'])[-1]}")
    return done.stdout


def make_acceptable(staged: Path, file: str, unknown: set[str]) -> list[Finding]:
    """Exchange, before the conversion, what X2Paddle does not know for what is Paddle's already.

    Only names of which the meaning and the arguments are known to be the same; the rest is left,
    and the file stays refused.
    """
    path = staged / file
    source = Source(file, read_text(path))
    findings = source.rewrite(rewrites.renames(source, unknown), "names")
    if unknown & set(api_tables.SCALERS):
        findings += source.rewrite(rewrites.scaler(source), "scaler")
    if findings:
        source = Source(file, source.edited())
        source.import_modules(api_tables.HELPERS, "paddle")
        path.write_text(drop_unused(Source(file, source.edited())))
    return findings


def drop_unused(source: Source) -> str:
    """Return the text without imports from PyTorch that nothing uses."""
    used = source.used() | {"*"}
    for node in nodes(source.tree, ast.Import, ast.ImportFrom):
        roots = [getattr(node, "module", None) or alias.name for alias in node.names]
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        is_torch = all(root.partition(".")[0] in ("torch", "torchvision") for root in roots)
        if is_torch and not used.issuperset(names):
            kept = zip(node.names, names, strict=True)
            node.names = [alias for alias, name in kept if name in used]
            empty = "" if node in source.tree.body else "pass"
            source.replace(node, ast.unparse(node) if node.names else empty)
    return source.edited()
