"""Tables as CSV files."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from portproof.system.atomic import replace_atomically


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write the rows, each by the names of the columns, atomically; what a row lacks is empty."""
    with (
        replace_atomically(path) as partial,
        open(partial, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Return the rows, values as texts. Raises ValueError at other columns, OSError, csv.Error."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    is_other = columns is not None and tuple(reader.fieldnames or ()) != tuple(columns)
    if is_other or any(None in row or None in row.values() for row in rows):
        raise ValueError("its columns are others")
    return rows
