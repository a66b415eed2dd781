"""The one writer of HTML. A page is one file that opens from the disk, with no network.

Every value is text in the page, whatever it holds: the templates escape all of them.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portproof.core.verdict import Block
from portproof.report.markdown import new_environment
from portproof.system.atomic import replace_atomically, write_text
from portproof.system.errors import UserError

TEMPLATES = Path(__file__).with_name("templates")
MISSING = "-"  # a cell without a value
FIGURE = re.compile(r"[-+±]?(\d[\d,]*(\.\d+)?(e[-+]?\d+)?|nan|inf)( %)?")


@dataclass(frozen=True)
class Section:
    """A part of a page: its verdict, what is wrong, and blocks to look at."""

    title: str
    verdict: str | None = None
    summary: str = ""
    causes: Sequence[tuple[str, str, str]] = ()  # where, what is wrong there, what to change
    blocks: Sequence[Block] = ()
    folded: bool | None = None  # None: it cannot be folded


def report(
    head: Section,
    sections: Sequence[Section] = (),
    notes: Sequence[str] = (),
    versions: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a result: `head` under its title, then the sections, then the notes and
    the versions of packages.
    """
    return render("report", head=head, sections=sections, notes=notes, versions=versions or {})


def render(template: str, **values: Any) -> str:
    """Return the page that a template makes of these values."""
    import jinja2

    templates = new_environment(autoescape=True, loader=jinja2.FileSystemLoader(TEMPLATES))
    templates.filters |= {"data_uri": data_uri, "figure_columns": figure_columns, "cell": cell}
    return templates.get_template(f"{template}.html.j2").render(values)


def data_uri(image: bytes) -> str:
    """Return a PNG or JPEG as an address that holds the image itself."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def cell(value: object) -> str:
    """Return what a cell of a table shows."""
    return MISSING if value is None else str(value)


def figure_columns(table: Sequence[Sequence[object]]) -> list[bool]:
    """Return of each column whether figures stand below its head, which are written flush right."""
    columns = []
    for _, *values in zip(*table, strict=True):
        column = {cell(value) for value in values} - {MISSING, ""}
        columns.append(bool(column) and all(map(FIGURE.fullmatch, column)))
    return columns


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write pages atomically into the --report folder; return their paths. Raises UserError."""
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, contents in files.items():
            paths.append(folder / name)
            with replace_atomically(paths[-1]) as partial:
                if isinstance(contents, bytes):
                    partial.write_bytes(contents)
                else:
                    write_text(partial, contents)
    except OSError as error:
        raise UserError(f"--report {folder}: cannot be written ({error.strerror})") from error
    return paths
