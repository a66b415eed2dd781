"""What the pages of the course show: their commands, as they stand there, and what comes out.

A block of ```bash is run as a whole. Before it may stand `<!-- long: why -->`: then the tests run
it with --all-faults only; in its last line `# exits with N`, where N is not 0. A block of ```text
that follows shows what comes out: each of its lines, but "...", is printed so, numbers apart.
"""

import re
from pathlib import Path
from typing import NamedTuple

BLOCK = r"(?P<long><!-- long: [^>]+ -->\n)?^```bash\n(?P<code>.*?)^```$"
BLOCK = re.compile(BLOCK + r"(?:\n\n```text\n(?P<text>.*?)^```$)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")


class Command(NamedTuple):
    line: int  # of the page, from 1
    code: str
    status: int
    shown: list[str]  # lines that it prints
    is_long: bool


def commands(page: Path) -> list[Command]:
    """Return the commands of a page in order."""
    return commands_of(page.read_text())


def commands_of(text: str) -> list[Command]:
    """Return the commands of a page's text in order."""
    commands = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        status = re.search(r"# exits with (\d+)$", match["code"].rstrip())
        printed = (match["text"] or "").splitlines()
        shown = [line for line in printed if line.strip() not in ("", "...")]
        end, is_long = int(status[1]) if status else 0, match["long"] is not None
        commands.append(Command(line, match["code"], end, shown, is_long))
    return commands


def without_numbers(line: str) -> str:
    """Return a line with each number as #, and any space as one: what stays from run to run."""
    return " ".join(NUMBER.sub("#", line).split())


def missing(command: Command, printed: str) -> list[str]:
    """Return the lines that a page shows and the command did not print."""
    lines = {without_numbers(line) for line in printed.splitlines()}
    return [line for line in command.shown if without_numbers(line) not in lines]
