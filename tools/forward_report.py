"""What compare_forward.py found: as text, as JSON, as a page to look at."""

import base64
import html
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import plots
from common.errors import show
from common.run_folder import write_report
from tools import layerwise
from tools.findings import Cause
from tools.forward import Result
from tools.layerwise import Difference, Row
from tools.probes import FRAMEWORKS, NAMES

MOST_PROBLEMS = 3  # shapes and the like that are written out under a table
SMALLEST = 1e-17  # where the plot puts a difference of 0

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem;
  color: #222; background: #fafafa; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { display: inline-block; padding: .1rem .7rem; border-radius: .4rem; color: #fff; }
.aligned { background: #14632b; } .diverged { background: #b3261e; }
.cause { background: #fff; border-left: .3rem solid #b3261e; padding: .5rem 1rem; margin: .8rem 0;
  overflow-wrap: anywhere; }
.fix { font-family: ui-monospace, monospace; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: #fff; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child, .left { text-align: left; }
tr.differs td { background: #fdecea; } tr.alone td { color: #777; }
img { max-width: 100%; min-width: 44rem; height: auto; background: #fff; border: 1px solid #ddd;
  box-sizing: border-box; }
"""


def as_json(found: Result) -> dict[str, Any]:
    """Return the result ready for JSON."""
    first = None
    if found.first is not None:
        first = {"input": found.first_input, **layerwise.as_dict(found.first)}
    elif found.causes:  # in the weights or the networks: nothing was run, or nothing differs yet
        first = {"input": None, "name": found.causes[0].where}
    cause = found.causes[0] if found.causes else Cause(found.first.name if first else "", "", "")
    return {
        "aligned": found.aligned,
        "verdict": "aligned" if found.aligned else "diverged",
        "first_divergence": first,
        "where": cause.where or None,
        "cause": cause.cause or None,
        "fix": cause.fix or None,
        "causes": [asdict(cause) for cause in found.causes],
        "float64": worst(found, "float64"),
        "float32": worst(found, "float32"),
        "inputs": [
            {"input": name, "layers": [layerwise.as_dict(row) for row in rows]}
            for name, rows in found.rows.items()
        ],
        "weights": found.weights,
        "same_tensors": found.tensors,
        "same_parameters": found.parameters,
        "paired": found.how,
        "logits": found.logits,
        "top5": found.top5,
        "notes": found.notes,
        "versions": found.versions,
    }


def worst(found: Result, dtype: str) -> float | None:
    """Return the largest relative difference of any layer that was compared; None: not a number."""
    values = [
        getattr(row, dtype).relative
        for rows in found.rows.values()
        for row in rows
        if getattr(row, dtype) is not None and row.verdict != "no counterpart"
    ]
    largest = max(values, default=None)
    return largest if largest is not None and math.isfinite(largest) else None


def as_text(found: Result) -> str:
    """Return the tables of all inputs, the logits, and the verdict with its causes, as text."""
    parts = [f"weights: {found.weights}"]
    for name, rows in found.rows.items():
        parts += ["", f"{name}:", *_table(rows)]
    parts += ["", *_logits(found)] if found.logits else []
    parts += [f"note: {note}" for note in found.notes]
    return "\n".join([*parts, "", *_verdict(found)])


def _table(rows: list[Row]) -> list[str]:
    lines = [("layer", "kind", "shape", *("max", "rms", "relative") * 2, "")]
    lines += [(*_names(row), *_numbers(row), _word(row)) for row in rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    span = sum(widths[:3]) + 6
    head = " " * span + "float64".ljust(sum(widths[3:6]) + 6) + "float32"
    made = [head]
    for line in lines:
        cells = [
            cell.rjust(width) if 3 <= n < 9 else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        made.append("  ".join(cells).rstrip())
    odd = [row for row in rows if _has_problem(row)]
    made += [f"  {row.name}: {row.float64.problem}" for row in odd[:MOST_PROBLEMS]]
    return made


def _has_problem(row: Row) -> bool:
    return row.verdict == "differs" and row.float64 is not None and bool(row.float64.problem)


def _names(row: Row) -> tuple[str, str, str]:
    if row.torch is None or row.paddle is None:
        side = "torch" if row.paddle is None else "paddle"
        return f"{row.name or '(all)'} ({NAMES[side]})", row.kind, ""
    name = row.torch or "(all)"
    if row.paddle != row.torch:
        name += f" = {row.paddle or '(all)'}"
    return name, row.kind if row.kind != "the network's output" else "", _shape(row)


def _shape(row: Row) -> str:
    return "x".join(map(str, row.shape))


def _numbers(row: Row) -> list[str]:
    return [*_three(row.float64, row), *_three(row.float32, row)]


def _three(found: Difference | None, row: Row) -> list[str]:
    if found is None or row.verdict == "no counterpart" or found.problem:
        return ["-"] * 3
    return [f"{value:.1e}" for value in (found.largest, found.rms, found.relative)]


def _word(row: Row) -> str:
    return {"differs": "DIFFERS"}.get(row.verdict, row.verdict)


def _logits(found: Result) -> list[str]:
    lines = ["the first five logits of the first sample (float32), and its five likeliest classes:"]
    for side in FRAMEWORKS:
        if side in found.logits:
            logits = "  ".join(f"{value:12.7f}" for value in found.logits[side])
            lines.append(f"  {NAMES[side]:13}{logits}    top-5 {found.top5[side]}")
    return lines


def _verdict(found: Result) -> list[str]:
    if found.aligned:
        return [f"aligned: {_summary(found)}"]
    lines = [f"diverged: {_first(found)}"]
    for number, cause in enumerate(found.causes, 1):
        lines += [f"  {number}. {_where(cause)}: {cause.cause}", f"     fix: {cause.fix}"]
    return lines


def _where(cause: Cause) -> str:
    others = f", {cause.also[0]} and {len(cause.also) - 1} more" if cause.also[1:] else ""
    return cause.where + (others or "".join(f", {name}" for name in cause.also))


def _first(found: Result) -> str:
    if found.first is None:
        return "the networks or their weights are not the same"
    row = found.first
    problem = row.float64.problem if row.float64 else None
    told = problem or f"{row.float64.relative:.1e} of the largest number in float64"
    return f"first at {row.name} ({row.kind}), {found.first_input}: {told}"


def _summary(found: Result) -> str:
    compared = sum(row.verdict == "same" for rows in found.rows.values() for row in rows)
    double, single = worst(found, "float64"), worst(found, "float32")
    return (
        f"{found.tensors} tensors ({found.parameters:,} numbers) the same, {compared} outputs of "
        f"layers compared at {', '.join(found.rows)}; largest relative difference "
        f"{double:.1e} in float64, {single:.1e} in float32"
    )


def write_page(folder: Path, found: Result) -> Path:
    """Write the result as one HTML file by itself; return its path. Raises UserError."""
    return write_report(folder, "forward.html", _page(found))


def _page(found: Result) -> str:
    word = "aligned" if found.aligned else "diverged"
    text = _summary(found) if found.aligned else _first(found)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Forward pass: {word}</title><style>{STYLE}</style></head><body>",
        f'<h1>Forward pass: <span class="verdict {word}">{word}</span></h1>',
        f"<p>{html.escape(text)}</p>",
        *[_cause(cause) for cause in found.causes],
    ]
    for name, rows in found.rows.items():
        title = html.escape(name)
        parts += [f"<h2>{title}</h2>", _plot(name, rows), _html_table(rows)]
    if found.logits:
        parts += ["<h2>The first five logits, float32</h2>", _html_logits(found)]
    parts += [f"<p>Note: {html.escape(note)}</p>" for note in found.notes]
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    parts.append(f"<p>Weights: {html.escape(found.weights)}. {html.escape(versions)}.</p>")
    return "\n".join([*parts, "</body></html>\n"])


def _cause(cause: Cause) -> str:
    where, what, fix = (html.escape(text) for text in (_where(cause), cause.cause, cause.fix))
    return f'<div class="cause"><b>{where}</b>: {what}<div class="fix">fix: {fix}</div></div>'


def _html_table(rows: list[Row]) -> str:
    head = (
        '<tr><th></th><th></th><th></th><th colspan="3">float64</th><th colspan="3">float32</th>'
        '<th></th></tr><tr><th>layer</th><th class="left">kind</th><th>shape</th>'
        + "<th>max</th><th>rms</th><th>relative</th>" * 2
        + "<th>verdict</th></tr>"
    )
    body = []
    for row in rows:
        style = {"differs": "differs", "no counterpart": "alone"}.get(row.verdict, "")
        name, kind, shape = (html.escape(text) for text in _names(row))
        numbers = "".join(f"<td>{text}</td>" for text in _numbers(row))
        if _has_problem(row):
            numbers = f'<td class="left" colspan="6">{html.escape(row.float64.problem)}</td>'
        cells = f"<td>{shape}</td>{numbers}<td>{row.verdict}</td>"
        body.append(f'<tr class="{style}"><td>{name}</td><td class="left">{kind}</td>{cells}</tr>')
    return f'<div class="wide"><table>{head}{"".join(body)}</table></div>'


def _html_logits(found: Result) -> str:
    rows = []
    for side, logits in found.logits.items():
        cells = "".join(f"<td>{value:.7f}</td>" for value in logits)
        rows.append(f"<tr><td>{NAMES[side]}</td>{cells}<td>{found.top5[side]}</td></tr>")
    head = "<tr><th></th>" + "".join(f"<th>{n}</th>" for n in range(5)) + "<th>top-5</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _plot(name: str, rows: list[Row]) -> str:
    """Return the plot as a picture within the page."""
    source = base64.b64encode(draw(rows)).decode()
    title = html.escape(f"difference per layer, {name}")
    return f'<div class="wide"><img alt="{title}" src="data:image/png;base64,{source}"></div>'


def blocks(found: Result) -> list[dict[str, Any]]:
    """Return plots and tables for the page of all checkpoints."""
    made: list[dict[str, Any]] = []
    for name, rows in found.rows.items():
        head = ["layer", "kind", "shape", "float64 max", "rms", "relative"]
        head += ["float32 max", "rms", "relative", "verdict"]
        table = [[*_names(row), *_numbers(row), row.verdict] for row in rows]
        made += [{"title": f"Difference per layer, {name}", "png": draw(rows)}]
        made += [{"title": name, "table": [head, *table]}]
    if found.logits:
        table = [[NAMES[side], *(f"{v:.7f}" for v in own)] for side, own in found.logits.items()]
        head = ["", *map(str, range(len(table[0]) - 1))]
        made.append({"title": "The first five logits, float32", "table": [head, *table]})
    return made


def draw(rows: list[Row]) -> bytes:
    """Draw the relative difference of each layer on a log scale; return a PNG."""
    shown = [row for row in rows if row.verdict != "no counterpart"]
    places = range(len(shown))
    figure = plots.new_figure(10, 3.6)
    axes = figure.subplots()
    limit = [row.tolerance or SMALLEST for row in shown]
    axes.plot(places, limit, color="#777", linestyle="--", linewidth=1, label="limit in float64")
    for dtype, color in (("float32", "#1f77b4"), ("float64", "#14632b")):
        values = [_height(getattr(row, dtype)) for row in shown]
        axes.plot(places, values, "o-", color=color, markersize=4, linewidth=1, label=dtype)
    odd = [n for n, row in enumerate(shown) if row.verdict == "differs"]
    heights = [_height(shown[n].float64) for n in odd]
    if odd:
        axes.plot(odd, heights, "o", color="#b3261e", markersize=7, label="differs", zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(SMALLEST / 3, 1e3)
    axes.set_ylabel("difference / largest number")
    step = max(1, len(shown) // 40)
    axes.set_xticks(
        list(places)[::step], [show(_label(row)) for row in shown[::step]], parse_math=False
    )
    axes.tick_params(axis="x", rotation=60, labelsize=7)
    axes.grid(axis="y", color="#eee")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _label(row: Row) -> str:
    return row.name if len(row.name) <= 22 else "…" + row.name[-21:]


def _height(found: Difference | None) -> float:
    if found is None:
        return SMALLEST
    return min(max(found.relative, SMALLEST), 30.0)
