"""Pages in Markdown: tables, and what a template makes of values."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portproof.system.atomic import replace_atomically, write_text


def write(path: Path, text: str) -> None:
    """Write a page, atomically."""
    with replace_atomically(path) as partial:
        write_text(partial, text)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return a table; the first row is its head."""
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def one_line(value: object) -> str:
    """Return a value as one line that a table and a list can hold."""
    return " ".join(str(value).split()).replace("|", "\\|")


def figure(value: float | None, form: str = "%.1e") -> str:
    """Return a number in this form; nothing where there is none."""
    return "" if value is None else form % value


def render(template: Path, **values: Any) -> str:
    """Return the text that a Jinja template makes of these values. Nothing is escaped."""
    import jinja2  # takes longer than the rest of a small command's imports

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"figure": figure, "one_line": one_line, "quote": shlex.quote}
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)
