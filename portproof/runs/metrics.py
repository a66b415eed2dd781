"""metrics.jsonl, to which a run adds a line of JSON for each epoch: {"epoch": 1, ...}."""

import json
from pathlib import Path

from portproof.system.errors import UserError

METRICS_FILE = "metrics.jsonl"


def parse_metrics(text: str, file: Path) -> list[dict]:
    """Return the lines of a metrics.jsonl, `text` of `file`. Raises UserError on a damaged one."""
    rows = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            whole = isinstance(row["epoch"], int)
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if whole:
            rows.append(row)
        elif number < len(lines):  # a run that was killed may have left half a line at the end
            raise UserError(f"{file}, line {number}: not the metrics of an epoch; delete it")
    return rows
