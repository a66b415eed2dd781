"""What the comparison of forward passes found: as text, as JSON, as a page to look at."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from portproof.checks.forward import Result
from portproof.core import tensor_compare
from portproof.core.findings import Cause, Difference
from portproof.core.tensor_compare import Row
from portproof.report import html
from portproof.report.figures import as_png, new_figure
from portproof.report.html import Section
from portproof.system.errors import show
from portproof.system.frameworks import FRAMEWORKS, NAMES

MOST_PROBLEMS = 3  # shapes and the like that are written out under a table
SMALLEST = 1e-17  # where the plot puts a difference of 0


def as_json(found: Result) -> dict[str, Any]:
    """Return the result ready for JSON."""
    first = None
    if found.first is not None:
        first = {"input": found.first_input, **tensor_compare.as_dict(found.first)}
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
            {"input": name, "layers": [tensor_compare.as_dict(row) for row in rows]}
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
    words = {"differs": "DIFFERS"}
    lines += [(*_names(row), *_numbers(row), words.get(row.verdict, row.verdict)) for row in rows]
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
    kind = row.kind if row.kind != "the network's output" else ""
    return name, kind, "x".join(map(str, row.shape))


def _numbers(row: Row) -> list[str]:
    cells = []
    for difference in (row.float64, row.float32):
        if difference is None or row.verdict == "no counterpart" or difference.problem:
            cells += ["-"] * 3
        else:
            values = difference.largest, difference.rms, difference.relative
            cells += [f"{value:.1e}" for value in values]
    return cells


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
    head = Section(
        "Forward pass",
        "aligned" if found.aligned else "diverged",
        _summary(found) if found.aligned else _first(found),
        [(_where(cause), cause.cause, cause.fix) for cause in found.causes],
        blocks(found),
    )
    notes = [*(f"Note: {note}" for note in found.notes), f"Weights: {found.weights}."]
    page = html.report(head, notes=notes, versions=found.versions)
    return html.write_files(folder, {"forward.html": page})[0]


def blocks(found: Result) -> list[html.Block]:
    """Return plots and tables for the page of all checkpoints."""
    made: list[html.Block] = []
    for name, rows in found.rows.items():
        made += [{"title": f"Difference per layer, {name}", "png": draw(rows)}]
        made += [{"title": name, "table": _layers(rows)}]
    if found.logits:
        table = [
            [NAMES[side], *(f"{value:.7f}" for value in logits), str(found.top5[side])]
            for side, logits in found.logits.items()
        ]
        head = ["", *map(str, range(len(table[0]) - 2)), "top-5"]
        made.append({"title": "The first five logits, float32", "table": [head, *table]})
    return made


def _layers(rows: list[Row]) -> list[list[str]]:
    """Return a table of the layers, with a column for what keeps some from being compared."""
    head = ["layer", "verdict", "kind", "shape", "float64 max", "rms", "relative"]
    table = [[*head, "float32 max", "rms", "relative"]]
    for row in rows:
        name, kind, shape = _names(row)
        table.append([name, row.verdict, kind, shape, *_numbers(row)])
    if not any(map(_has_problem, rows)):
        return table
    problems = [row.float64.problem if _has_problem(row) else "" for row in rows]
    return [[*line, end] for line, end in zip(table, ["problem", *problems], strict=True)]


def draw(rows: list[Row]) -> bytes:
    """Draw the relative difference of each layer on a log scale; return a PNG."""
    shown = [row for row in rows if row.verdict != "no counterpart"]
    places = range(len(shown))
    figure = new_figure(10, 3.6)
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
    return as_png(figure)


def _label(row: Row) -> str:
    return row.name if len(row.name) <= 22 else "…" + row.name[-21:]


def _height(found: Difference | None) -> float:
    if found is None:
        return SMALLEST
    return min(max(found.relative, SMALLEST), 30.0)
