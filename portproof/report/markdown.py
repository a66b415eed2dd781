"""Pages in Markdown: tables, and what a template makes of values."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portproof.system.atomic import replace_atomically, write_text

if TYPE_CHECKING:
    from jinja2 import Environment


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
    templates = new_environment(keep_trailing_newline=True)
    templates.filters |= {"figure": figure, "one_line": one_line, "quote": shlex.quote}
    return templates.from_string(template.read_text(encoding="utf-8")).render(values)


def new_environment(**settings: Any) -> "Environment":
    """Return what templates are rendered in; a name that has no value is an error."""
    import jinja2  # takes longer than the rest of a small command's imports

    strict = jinja2.StrictUndefined
    return jinja2.Environment(undefined=strict, trim_blocks=True, lstrip_blocks=True, **settings)
