"""What the comparison of forward passes found: as text, as JSON, as a page to look at."""

import math
from dataclasses import asdict
from pathlib import Path

from portproof.checks.forward import Result
from portproof.core import tensor_compare
from portproof.core.findings import Cause, Difference, Report
from portproof.core.tensor_compare import Row
from portproof.core.verdict import Block
from portproof.report import align, html
from portproof.report.figures import COLORS, SMALLEST, as_png, new_figure
from portproof.report.html import Section
from portproof.report.text import columns
from portproof.system.errors import show
from portproof.system.frameworks import NAMES

AS_THEY_ARE = ("weights", "same_tensors", "same_parameters", "paired")  # entries of the JSON
AS_THEY_ARE += ("logits", "top5", "notes", "versions")
MOST_PROBLEMS = 3  # shapes and the like that are written out under a table


def as_json(comparison: Result) -> Report:
    """Return the result ready for JSON."""
    first, cause = None, Cause("", "", "")
    if comparison.first is not None:
        first = {"input": comparison.first_input, **tensor_compare.as_dict(comparison.first)}
        cause = Cause(comparison.first.name, "", "")
    if comparison.causes:
        cause = comparison.causes[0]
        # Without a first layer nothing was run, or nothing differs yet.
        first = first or {"input": None, "name": cause.where}
    return {
        "aligned": comparison.aligned,
        "verdict": "aligned" if comparison.aligned else "diverged",
        "first_divergence": first,
        "where": cause.where or None,
        "cause": cause.cause or None,
        "fix": cause.fix or None,
        "causes": [asdict(cause) for cause in comparison.causes],
        "float64": worst(comparison, "float64"),
        "float32": worst(comparison, "float32"),
        "inputs": [
            {"input": name, "layers": [tensor_compare.as_dict(row) for row in rows]}
            for name, rows in comparison.rows.items()
        ],
        **{name: getattr(comparison, name) for name in AS_THEY_ARE},
    }


def worst(comparison: Result, dtype: str) -> float | None:
    """Return the largest relative difference of any layer that was compared; None: not a number."""
    rows = [row for rows in comparison.rows.values() for row in rows]
    compared = [getattr(row, dtype) for row in rows if row.verdict != "no counterpart"]
    largest = max((difference.relative for difference in compared if difference), default=math.nan)
    return largest if math.isfinite(largest) else None


def as_text(comparison: Result) -> str:
    """Return the tables of all inputs, the logits, and the verdict with its causes, as text."""
    lines = [f"weights: {comparison.weights}"]
    for name, rows in comparison.rows.items():
        lines += ["", f"{name}:", *_table(rows)]
    if comparison.logits:
        what = "the first five logits of the first sample (float32), and its five likeliest classes"
        lines += ["", f"{what}:"]
    for side, logits in comparison.logits.items():
        numbers = "  ".join(f"{logit:12.7f}" for logit in logits)
        lines.append(f"  {NAMES[side]:13}{numbers}    top-5 {comparison.top5[side]}")
    lines += [f"note: {note}" for note in comparison.notes]
    if comparison.aligned:
        return "\n".join([*lines, "", f"aligned: {_summary(comparison)}"])
    lines += ["", f"diverged: {_first(comparison)}"]
    for number, cause in enumerate(comparison.causes, 1):
        lines += [f"  {number}. {_where(cause)}: {cause.cause}", f"     fix: {cause.fix}"]
    return "\n".join(lines)


def _table(rows: list[Row]) -> list[str]:
    lines = [["", "", "", "float64", "", "", "float32", "", "", ""]]
    lines.append(["layer", "kind", "shape", *("max", "rms", "relative") * 2, ""])
    words = {"differs": "DIFFERS"}
    lines += [[*_names(row), *_numbers(row), words.get(row.verdict, row.verdict)] for row in rows]
    odd = [f"  {row.name}: {_problem(row)}" for row in rows if _problem(row)]
    return columns(lines, flush_right=range(3, 9)) + odd[:MOST_PROBLEMS]


def _problem(row: Row) -> str:
    return row.float64.problem or "" if row.verdict == "differs" and row.float64 else ""


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
        numbers = [None] * 3
        if difference and not difference.problem and row.verdict != "no counterpart":
            numbers = [difference.largest, difference.rms, difference.relative]
        cells += map(align.figure, numbers)
    return cells


def _where(cause: Cause) -> str:
    others = f" and {len(cause.also) - 1} more" if cause.also[1:] else ""
    return ", ".join([cause.where, *cause.also[:1]]) + others


def _first(comparison: Result) -> str:
    if comparison.first is None:
        return "the networks or their weights are not the same"
    row = comparison.first
    problem = row.float64.problem if row.float64 else None
    difference = problem or f"{row.float64.relative:.1e} of the largest number in float64"
    return f"first at {row.name} ({row.kind}), {comparison.first_input}: {difference}"


def _summary(comparison: Result) -> str:
    compared = sum(row.verdict == "same" for rows in comparison.rows.values() for row in rows)
    numbers = f"{comparison.same_parameters:,} numbers"
    same = f"{comparison.same_tensors} tensors ({numbers}) the same"
    layers = f"{compared} outputs of layers compared at {', '.join(comparison.rows)}"
    double, single = worst(comparison, "float64"), worst(comparison, "float32")
    largest = f"{double:.1e} in float64, {single:.1e} in float32"
    return f"{same}, {layers}; largest relative difference {largest}"


def write_page(folder: Path, comparison: Result) -> list[Path]:
    """Write the result as one HTML file by itself; return its path. Raises UserError."""
    word = "aligned" if comparison.aligned else "diverged"
    summary = _summary(comparison) if comparison.aligned else _first(comparison)
    causes = [(_where(cause), cause.cause, cause.fix) for cause in comparison.causes]
    head = Section("Forward pass", word, summary, causes, blocks(comparison))
    notes = [f"Note: {note}" for note in comparison.notes] + [f"Weights: {comparison.weights}."]
    page = html.report(head, notes=notes, versions=comparison.versions)
    return html.write_files(folder, {"forward.html": page})


def blocks(comparison: Result) -> list[Block]:
    """Return plots and tables for the page of all checkpoints."""
    made: list[Block] = []
    for name, rows in comparison.rows.items():
        made.append({"title": f"Difference per layer, {name}", "png": draw(rows)})
        made.append({"title": name, "table": _layers(rows)})
    if comparison.logits:
        count = len(next(iter(comparison.logits.values())))
        table = [["", *map(str, range(count)), "top-5"]]
        for side, logits in comparison.logits.items():
            cells = [f"{logit:.7f}" for logit in logits]
            table.append([NAMES[side], *cells, str(comparison.top5[side])])
        made.append({"title": "The first five logits, float32", "table": table})
    return made


def _layers(rows: list[Row]) -> list[list[str]]:
    """Return a table of the layers, with a column for what keeps some from being compared."""
    head = ["layer", "verdict", "kind", "shape", "float64 max", "rms", "relative"]
    table = [[*head, "float32 max", "rms", "relative"]]
    for row in rows:
        name, kind, shape = _names(row)
        table.append([name, row.verdict, kind, shape, *_numbers(row)])
    problems = list(map(_problem, rows))
    if not any(problems):
        return table
    return [[*line, end] for line, end in zip(table, ["problem", *problems], strict=True)]


def draw(rows: list[Row]) -> bytes:
    """Draw the relative difference of each layer on a log scale; return a PNG."""
    shown = [row for row in rows if row.verdict != "no counterpart"]
    figure = new_figure(10, 3.6)
    axes = figure.subplots()
    limit = [row.tolerance or SMALLEST for row in shown]
    axes.plot(limit, color="#777", linestyle="--", linewidth=1, label="limit in float64")
    for dtype, color in COLORS.items():
        heights = [_height(getattr(row, dtype)) for row in shown]
        axes.plot(heights, "o-", color=color, markersize=4, linewidth=1, label=dtype)
    odd = [n for n, row in enumerate(shown) if row.verdict == "differs"]
    if odd:
        heights = [_height(shown[n].float64) for n in odd]
        axes.plot(odd, heights, "o", color="#b3261e", markersize=7, label="differs", zorder=3)
    axes.set(yscale="log", ylim=(SMALLEST / 3, 1e3), ylabel="difference / largest number")
    step = max(1, len(shown) // 40)
    labels = [show(_label(row)) for row in shown[::step]]
    axes.set_xticks(range(0, len(shown), step), labels, parse_math=False)
    axes.tick_params(axis="x", rotation=60, labelsize=7)
    axes.grid(axis="y", color="#eee")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return as_png(figure)


def _label(row: Row) -> str:
    return row.name if len(row.name) <= 22 else "…" + row.name[-21:]


def _height(difference: Difference | None) -> float:
    return min(max(difference.relative, SMALLEST), 30.0) if difference else SMALLEST
