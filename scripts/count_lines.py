"""Count the project's lines and Python tokens, by folder; the tests apart.

    .venv/bin/python scripts/count_lines.py

Counted are the files under version control: .py, .sh, templates (.j2, their .css) and texts that
are shipped as code (.txt). A token is one of Python's grammar: no comment, no line end, no indent.
"""

import ast
import io
import subprocess
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".sh", ".j2", ".css", ".txt"}
LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def count_file(path: Path) -> Counter[str]:
    """Count lines, tokens and `prose`, the lines with a comment or docstring, of Python."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if path.suffix != ".py":
        return Counter(lines=lines)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    prose = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            prose |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    grammar = [token for token in tokens if token.type not in LAYOUT | {tokenize.COMMENT}]
    return Counter(lines=lines, tokens=len(grammar), prose=len(prose))


def count_folders() -> dict[str, Counter[str]]:
    """Return what each folder of the project holds, by its name; a file beside them by its own."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders: dict[str, Counter[str]] = defaultdict(Counter)
    for name in filter(None, listing.split("\0")):
        path = ROOT / name
        if path.suffix in SUFFIXES and path.is_file() and not name.startswith("docs/"):
            folders[name.partition("/")[0]] += count_file(path)
    return dict(folders)


def main() -> None:
    """Print the table."""
    folders = count_folders()
    tests = folders.pop("tests")
    rows = [*sorted(folders.items()), ("all", sum(folders.values(), Counter())), ("tests", tests)]
    print(f"{'':16}{'lines':>8}{'tokens':>9}  comments and docstrings")
    for name, count in rows:
        share = count["prose"] / count["lines"]
        print(f"{name:16}{count['lines']:8,}{count['tokens']:9,}{share:8.1%}")


if __name__ == "__main__":
    main()
