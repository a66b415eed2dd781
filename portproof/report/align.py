"""What the alignment found: as text, and as a page to look at."""

from pathlib import Path
from typing import Any

from portproof.core.findings import Report
from portproof.core.verdict import ABOUT, ALIGNED, DIVERGED, ERROR, NOT_RUN, Block, Verdict
from portproof.report import html, sample_image
from portproof.report.html import Section
from portproof.system.versions import package_versions


def as_json(verdicts: list[Verdict], **more: Any) -> Report:
    """Return the result ready for JSON; `more` is what a command adds to it."""
    bad = [verdict for verdict in verdicts if verdict.verdict in (DIVERGED, ERROR)]
    diverged = [verdict.name for verdict in bad if verdict.verdict == DIVERGED]
    return {
        "aligned": not bad and any(verdict.aligned for verdict in verdicts),
        "checkpoints": [verdict.as_dict() for verdict in verdicts],
        "first_divergence": diverged[0] if diverged else None,
        **more,
        "versions": package_versions(),
    }


def as_text(report: Report, verdicts: list[Verdict]) -> str:
    """Return a line for each checkpoint, and what is wrong, as text."""
    lines = [f"{'checkpoint':12} {'verdict':9} {'float64':>9} {'float32':>9} {'seconds':>8}"]
    for verdict in verdicts:
        figures = f"{figure(verdict.float64):>9} {figure(verdict.float32):>9}"
        line = f"{verdict.name:12} {verdict.verdict:9} {figures} {verdict.seconds:8.1f}"
        lines.append(f"{line}  {verdict.why or ''}".rstrip())
    for verdict in verdicts:
        if verdict.verdict == DIVERGED:
            where = f"{verdict.name}: {verdict.where}"
            lines += ["", f"{where}: {verdict.cause}", f"  fix: {verdict.fix}"]
        elif verdict.verdict == ERROR:
            lines += ["", f"{verdict.name}: {verdict.why}"]
    return "\n".join([*lines, "", _outcome(report, verdicts)[1]])


def _outcome(report: Report, verdicts: list[Verdict]) -> tuple[str, str]:
    """Return the verdict of all checkpoints in a word and in a sentence."""
    if report["aligned"]:
        compared = sum(verdict.aligned for verdict in verdicts)
        return ALIGNED, f"aligned: {compared} checkpoint{'s' if compared > 1 else ''} the same"
    if report["first_divergence"]:
        return DIVERGED, f"diverged: first at {report['first_divergence']}"
    errors = [verdict.name for verdict in verdicts if verdict.verdict == ERROR]
    if errors:
        return ERROR, f"error: {', '.join(errors)} could not be compared"
    return NOT_RUN, "nothing was compared"


def figure(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:.1e}"


def write_page(folder: Path, report: Report, verdicts: list[Verdict]) -> list[Path]:
    """Write one HTML file that opens from the disk by itself; return its path. Raises UserError."""
    word, summary = _outcome(report, verdicts)
    first = next((verdict for verdict in verdicts if verdict.verdict == word), verdicts[0])
    head = Section("PyTorch and PaddlePaddle", word, summary, _causes(first), [_overview(verdicts)])
    sections = [_section(verdict, len(verdicts) == 1, verdict is first) for verdict in verdicts]
    shown = [section for section in sections if section.causes or section.blocks]
    page = html.report(head, shown, versions=report["versions"])
    return html.write_files(folder, {"align.html": page})


def _causes(verdict: Verdict) -> list[tuple[str, str, str]]:
    if verdict.verdict == DIVERGED:
        return [(f"{verdict.name}, {verdict.where}", verdict.cause or "", verdict.fix or "")]
    return [(verdict.name, verdict.why or "", "")] if verdict.verdict == ERROR else []


def _overview(verdicts: list[Verdict]) -> Block:
    table = [["checkpoint", "verdict", "float64", "float32", "seconds", "what is compared"]]
    for verdict in verdicts:
        figures = [figure(verdict.float64), figure(verdict.float32), f"{verdict.seconds:.1f}"]
        about = ABOUT[verdict.name] + (f" ({verdict.why})" if verdict.why else "")
        table.append([verdict.name, verdict.verdict, *figures, about])
    return {"title": "", "table": table}


def _section(verdict: Verdict, is_alone: bool, is_first: bool) -> Section:
    """Return the part of one checkpoint; the cause of the first divergence stands at the top."""
    title, causes = f"{verdict.name}: {ABOUT[verdict.name]}", [] if is_first else _causes(verdict)
    folded = not is_alone and verdict.verdict not in (DIVERGED, ERROR)
    blocks = sample_image.drawn(verdict.details)
    return Section(title, verdict.verdict, causes=causes, blocks=blocks, folded=folded)
