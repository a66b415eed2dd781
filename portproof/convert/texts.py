"""Files of Python as text: read, and made Python again where a converter has left it none."""

import ast
import re
from pathlib import Path

MARK = ">>>>>>"  # PaConvert writes it before each line that it could not convert
MOST_BLOCKS = 1000  # empty blocks in one file


def without_marks(text: str) -> tuple[str, list[int]]:
    """Return text without PaConvert's marks, and the lines on which they stood."""
    lines, marked = text.split("\n"), []
    for number, line in enumerate(lines):
        if line.startswith(MARK):
            lines[number] = line.removeprefix(MARK)
            marked.append(number + 1)
    return "\n".join(lines), marked


def fill_blocks(text: str) -> tuple[str, list[int]]:
    """Put `pass` into blocks that a converter has left empty, and return the lines of these."""
    filled = []
    for _ in range(MOST_BLOCKS):
        try:
            ast.parse(text)
            break
        except SyntaxError as error:
            empty = re.search(r"expected an indented block after .* on line (\d+)", str(error))
        if not empty:
            break
        lines, header = text.split("\n"), int(empty[1])
        first = lines[header - 1]
        while not lines[header - 1].split("#")[0].rstrip().endswith(":"):
            header += 1  # a statement that goes over several lines
        lines.insert(header, " " * (len(first) - len(first.lstrip()) + 4) + "pass")
        filled.append(header)
        text = "\n".join(lines)
    return text, filled


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.is_file())


def read_text(path: Path) -> str:
    """Return a file's text, line ends as "\\n". Raises ValueError where it is not UTF-8."""
    return path.read_bytes().decode().replace("\r\n", "\n").replace("\r", "\n")
