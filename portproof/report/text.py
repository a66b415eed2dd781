"""Tables as text."""

from collections.abc import Container, Sequence


def columns(rows: Sequence[Sequence[str]], flush_right: Container[int] = ()) -> list[str]:
    """Return a line for each row, its cells padded to the width of their column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [
            cell.rjust(width) if number in flush_right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
