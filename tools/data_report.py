"""What compare_data.py found: as text, as JSON, as a page and PNGs to look at."""

import base64
import html
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.run_folder import replace_whole, write_text
from tools.data_checks import ALSO_FOUND, COMPARED, SAME
from tools.forward_report import STYLE
from tools.verdicts import ALIGNED, DIVERGED, Verdict

TITLES = {"data": "Evaluation data", "train_data": "Training data"}
MORE_STYLE = """
.error { background: #8a5a00; }
img { min-width: 0; }
"""


def as_json(verdicts: list[Verdict], versions: dict[str, str]) -> dict[str, Any]:
    """Return the result ready for JSON."""
    diverged = [verdict.name for verdict in verdicts if verdict.verdict == DIVERGED]
    return {
        "aligned": all(verdict.verdict == ALIGNED for verdict in verdicts),
        "checkpoints": [verdict.as_dict() for verdict in verdicts],
        "first_divergence": diverged[0] if diverged else None,
        "versions": versions,
    }


def as_text(verdicts: list[Verdict]) -> str:
    """Return a line for each checkpoint, and where one diverged what is wrong and what to do."""
    lines = []
    for verdict in verdicts:
        lines.append(f"{verdict.name}: {verdict.verdict} {_told(verdict)}".rstrip())
        for n, (where, cause, fix) in enumerate(_causes(verdict), 1):
            lines += [f"  {n}. {where}: {cause}", f"     fix: {fix}"]
    return "\n".join(lines)


def _told(verdict: Verdict) -> str:
    if verdict.why:
        return f"- {verdict.why}"
    if verdict.verdict == DIVERGED:
        return f"first at {verdict.where}"
    table = next(one["table"] for one in verdict.details if one["title"] == COMPARED)
    counts = {row[0]: row[1] for row in table}
    return (
        f"({counts[SAME]} pictures have the same numbers; largest relative "
        f"difference {_figure(verdict.float64)} in float64, {_figure(verdict.float32)} in float32)"
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value:.1e}" if value else "0"


def _causes(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return the cause that stands in the verdict and the others that its page lists."""
    if verdict.verdict != DIVERGED:
        return []
    found = [(verdict.where, verdict.cause, verdict.fix)]
    for block in verdict.details:
        if block["title"] == ALSO_FOUND:
            found += [tuple(row) for row in block["table"][1:]]
    return found


def write(folder: Path, verdicts: list[Verdict], versions: dict[str, str]) -> list[Path]:
    """Write data.html, and CHECKPOINT.png of each first difference; return their paths.

    Raises UserError where they cannot be written.
    """
    page = folder / "data.html"
    written = [page]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for verdict in verdicts:
            for block in verdict.details:
                if "png" in block:
                    path = folder / f"{verdict.name}.png"
                    with replace_whole(path) as partial:
                        partial.write_bytes(block["png"])
                    written.append(path)
        with replace_whole(page) as partial:
            write_text(partial, _page(verdicts, versions))
    except OSError as error:
        raise UserError(f"--report {folder}: cannot be written ({error.strerror})") from error
    return written


def _page(verdicts: list[Verdict], versions: dict[str, str]) -> str:
    word = as_json(verdicts, versions)["aligned"]
    word = "aligned" if word else next(v.verdict for v in verdicts if v.verdict != ALIGNED)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Data: {word}</title><style>{STYLE}{MORE_STYLE}</style></head><body>",
        f'<h1>Data: <span class="verdict {word}">{word}</span></h1>',
    ]
    for verdict in verdicts:
        parts += _section(verdict)
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join([*parts, f"<p>{html.escape(told)}</p>", "</body></html>\n"])


def _section(verdict: Verdict) -> list[str]:
    badge = f'<span class="verdict {verdict.verdict}">{verdict.verdict}</span>'
    parts = [f"<h2>{TITLES[verdict.name]} (<code>{verdict.name}</code>) {badge}</h2>"]
    if verdict.verdict != DIVERGED:
        parts.append(f"<p>{html.escape(_told(verdict).strip('()- '))}</p>")
    for where, cause, fix in _causes(verdict):
        where, cause, fix = (html.escape(text) for text in (where, cause, fix))
        parts.append(
            f'<div class="cause"><b>{where}</b>: {cause}<div class="fix">fix: {fix}</div></div>'
        )
    for item in verdict.details:
        if item["title"] != ALSO_FOUND:  # it is told above
            parts.append(block(item))
    return parts


def block(item: dict[str, Any]) -> str:
    """Return one block of a verdict's details for a page: a picture, a table or a text."""
    title = html.escape(item["title"])
    if "png" in item:
        source = base64.b64encode(item["png"]).decode()
        inside = f'<img alt="{title}" src="data:image/png;base64,{source}">'
    elif "table" in item:
        head, *rows = item["table"]
        cells = "".join(f'<th class="left">{html.escape(cell)}</th>' for cell in head)
        inside = f"<table><tr>{cells}</tr>"
        for row in rows:
            cells = "".join(f'<td class="left">{html.escape(cell)}</td>' for cell in row)
            inside += f"<tr>{cells}</tr>"
        inside += "</table>"
    else:
        inside = f"<p>{html.escape(item['text'])}</p>"
    return f'<h3>{title}</h3><div class="wide">{inside}</div>'
