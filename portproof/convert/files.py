"""A project's files: finished after the conversion, and counted."""

import ast
import difflib
import re
import shutil
from pathlib import Path

from portproof.convert import api_tables, finishing, installed
from portproof.convert.rewrite_names import WEIGHTS
from portproof.convert.running import SHELL, Conversion, copy, is_linked
from portproof.convert.source import BY_HAND, DONE, LOOK, Finding
from portproof.convert.texts import fill_blocks, python_files, read_text, without_marks
from portproof.port import PORT

TEMPLATES = Path(__file__).parent / "shipped"
LARGEST = 10_000_000  # bytes; a larger file is data, and stays where it is
SHELL_PATH = re.compile(r"(?<=[\w/}\"'*.-])\.(?:pth|pt|ckpt)\b(?![\w./-])")
DRAWS = re.compile(r"nn\.init\b|\.weight\.data\b|\binit\.\w+_\(")


def finish(
    source: Path, staged: Path, conversion: Conversion, leave: set[str], port: Path | None
) -> None:
    """Finish every file of a conversion, in its folder; add to its findings and counts.

    `source` is the user's project, `staged` holds its Python files as they were. `port` is the port
    file that takes the place of the project's own; None: that is a file like any other.
    """
    folder, findings, counts = conversion.folder, conversion.findings, conversion.counts
    texts = {path: read_text(path) for path in python_files(staged)}
    draws_itself = any(DRAWS.search(text) for text in texts.values())
    modules = {path.relative_to(staged).parts[0].removesuffix(".py") for path in texts}
    for path, original in texts.items():
        file = str(path.relative_to(staged))
        target = folder / file
        if port and file == PORT:
            continue
        counts.files += 1
        counts.lines += len(plain(original))
        if file in conversion.refused or not target.exists():
            findings.append(not_written(file, conversion.refused.get(file, [])))
            counts.not_written += 1
            continue
        converted = read_text(target)
        finished = finishing.finish(file, converted, original, leave, draws_itself, modules)
        findings += finished.findings
        counts.by_machine += changed(original, converted)
        counts.by_rules += changed(converted, finished.text)
        target.write_text(finished.text)
    findings += _copy_others(source, folder)
    if port:
        shutil.copy(port, folder / PORT)
    texts = [read_text(path) for path in python_files(folder)]
    for name in (api_tables.HELPERS, "x2paddle_native"):
        if any(name in text for text in texts):
            shutil.copy(TEMPLATES / f"{name}.py.txt", folder / f"{name}.py")
    findings += shell_paths(folder)
    findings += installed.check(folder)


def not_written(file: str, unknown: list[str]) -> Finding:
    names = ", ".join(unknown[:6]) + (", ..." if len(unknown) > 6 else "")
    advice = {api_tables.advice(name) for name in unknown}
    what = f"not converted, because of {names}" if unknown else "not converted"
    fix = "write the file by hand, or convert it by the other converter"
    if len(advice) == 1:
        fix += f" ({advice.pop()})"
    return Finding(file, 1, what, fix, BY_HAND, "not written")


def _copy_others(source: Path, target: Path) -> list[Finding]:
    """Copy what is no Python but torch's weights and large or linked data; report that data."""
    for path in sorted(target.rglob("*")):
        if path.suffix in WEIGHTS:
            path.unlink()
    reasons = {}

    def is_left_out(path: Path) -> bool:
        if is_linked(path):
            reasons[str(path.relative_to(source))] = "a link to another folder"
        elif path.is_file() and path.stat().st_size > LARGEST:
            reasons[str(path.relative_to(source))] = "over 10 MB"
        return str(path.relative_to(source)) in reasons

    if source.is_dir():
        copy(source, target, is_left_out, "*.py", *(f"*{ending}" for ending in WEIGHTS))
    fix = "copy it where the converted project needs it"
    return [
        Finding(file, 1, f"not copied: {why}", fix, LOOK, "data")
        for file, why in sorted(reasons.items())
    ]


def shell_paths(folder: Path) -> list[Finding]:
    """Exchange the endings of weights files in shell scripts."""
    findings = []
    for path in shell_scripts(folder):
        file = str(path.relative_to(folder))
        try:
            lines = path.read_text().split("\n")
        except UnicodeDecodeError:
            what, fix = "no UTF-8", "exchange the endings of weights by hand"
            findings.append(Finding(file, 1, what, fix, LOOK, "shell"))
            continue
        path.write_text("\n".join(map(with_endings, lines)))
        what, fix = "a file of weights", "ends in .pdparams"
        for number, line in enumerate(lines, 1):
            if with_endings(line) != line:
                findings.append(Finding(file, number, what, fix, DONE, "shell"))
    return findings


def shell_scripts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in SHELL)


def with_endings(line: str) -> str:
    """Return a line of a shell script with Paddle's endings, addresses on the web left out."""
    words = re.split(r"(\s+)", line)
    return "".join(w if "://" in w else SHELL_PATH.sub(".pdparams", w) for w in words)


def plain(text: str) -> list[str]:
    """Return the statements of Python text, one a line, without comments and layout."""
    text, _ = fill_blocks(without_marks(text)[0])
    try:
        return ast.unparse(ast.parse(text)).splitlines()
    except SyntaxError:
        return text.splitlines()


def changed(before: str, after: str) -> int:
    """Count the lines that differ: those of the longer side where lines took others' places."""
    matcher = difflib.SequenceMatcher(None, plain(before), plain(after), autojunk=False)
    blocks = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return sum(max(i2 - i1, j2 - j1) for _, i1, i2, j1, j2 in blocks)
