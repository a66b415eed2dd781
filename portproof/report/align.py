"""What the alignment found: as text, and as a page to look at."""

from pathlib import Path
from typing import Any

from portproof.core.verdict import ABOUT, ALIGNED, DIVERGED, ERROR, NOT_RUN, Verdict
from portproof.report import html, sample_image
from portproof.report.html import Section


def as_text(found: dict[str, Any], verdicts: list[Verdict]) -> str:
    """Return a line for each checkpoint, and what is wrong, as text."""
    lines = [f"{'checkpoint':12} {'verdict':9} {'float64':>9} {'float32':>9} {'seconds':>8}"]
    for one in verdicts:
        figures = f"{_figure(one.float64):>9} {_figure(one.float32):>9} {one.seconds:8.1f}"
        lines.append(f"{one.name:12} {one.verdict:9} {figures}  {one.why or ''}".rstrip())
    for one in verdicts:
        if one.verdict == DIVERGED:
            lines += ["", f"{one.name}: {one.where}: {one.cause}", f"  fix: {one.fix}"]
        elif one.verdict == ERROR:
            lines += ["", f"{one.name}: {one.why}"]
    return "\n".join([*lines, "", _outcome(found, verdicts)[1]])


def _outcome(found: dict[str, Any], verdicts: list[Verdict]) -> tuple[str, str]:
    """Return the verdict of all checkpoints in a word and in a sentence."""
    if found["aligned"]:
        compared = sum(one.aligned for one in verdicts)
        return ALIGNED, f"aligned: {compared} checkpoint{'s' if compared > 1 else ''} the same"
    if found["first_divergence"]:
        return DIVERGED, f"diverged: first at {found['first_divergence']}"
    errors = [one.name for one in verdicts if one.verdict == ERROR]
    if errors:
        return ERROR, f"error: {', '.join(errors)} could not be compared"
    return NOT_RUN, "nothing was compared"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def write_page(folder: Path, found: dict[str, Any], verdicts: list[Verdict]) -> Path:
    """Write one HTML file that opens from the disk by itself; return its path. Raises UserError."""
    word, summary = _outcome(found, verdicts)
    first = next((v for v in verdicts if v.verdict == word), verdicts[0])
    head = Section("PyTorch and PaddlePaddle", word, summary, _causes(first), [_overview(verdicts)])
    sections = []
    for verdict in verdicts:
        section = _section(verdict, alone=len(verdicts) == 1, is_first=verdict is first)
        if section.causes or section.blocks:
            sections.append(section)
    page = html.report(head, sections, versions=found["versions"])
    return html.write_files(folder, {"align.html": page})[0]


def _causes(verdict: Verdict) -> list[tuple[str, str, str]]:
    if verdict.verdict == DIVERGED:
        return [(f"{verdict.name}, {verdict.where}", verdict.cause or "", verdict.fix or "")]
    return [(verdict.name, verdict.why or "", "")] if verdict.verdict == ERROR else []


def _overview(verdicts: list[Verdict]) -> html.Block:
    table = [["checkpoint", "verdict", "float64", "float32", "seconds", "what is compared"]]
    for verdict in verdicts:
        figures = [_figure(verdict.float64), _figure(verdict.float32), f"{verdict.seconds:.1f}"]
        about = ABOUT[verdict.name] + (f" ({verdict.why})" if verdict.why else "")
        table.append([verdict.name, verdict.verdict, *figures, about])
    return {"title": "", "table": table}


def _section(verdict: Verdict, alone: bool, is_first: bool) -> Section:
    """Return the part of one checkpoint; the cause of the first divergence stands at the top."""
    return Section(
        f"{verdict.name}: {ABOUT[verdict.name]}",
        verdict.verdict,
        causes=[] if is_first else _causes(verdict),
        blocks=sample_image.drawn(verdict.details),
        folded=not alone and verdict.verdict not in (DIVERGED, ERROR),
    )
