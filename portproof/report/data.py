"""What the comparison of data found: as text, as a page and PNGs to look at."""

from pathlib import Path

from portproof.checks.data import ALSO_FOUND, COMPARED, SAME
from portproof.core.verdict import ALIGNED, DIVERGED, Block, Verdict
from portproof.report import html, sample_image
from portproof.report.html import Section

TITLES = {"data": "Evaluation data", "train_data": "Training data"}


def as_text(verdicts: list[Verdict]) -> str:
    """Return a line for each checkpoint, and where one diverged what is wrong and what to do."""
    lines = []
    for verdict in verdicts:
        lines.append(f"{verdict.name}: {verdict.verdict} {_summary(verdict)}".rstrip())
        for n, (where, cause, fix) in enumerate(_causes(verdict), 1):
            lines += [f"  {n}. {where}: {cause}", f"     fix: {fix}"]
    return "\n".join(lines)


def _summary(verdict: Verdict) -> str:
    if verdict.why:
        return f"- {verdict.why}"
    if verdict.verdict == DIVERGED:
        return f"first at {verdict.where}"
    table = next(block["table"] for block in verdict.details if block["title"] == COMPARED)
    counts = {row[0]: row[1] for row in table}
    largest = f"{_figure(verdict.float64)} in float64, {_figure(verdict.float32)} in float32"
    return f"({counts[SAME]} images have the same numbers; largest relative difference {largest})"


def _figure(difference: float | None) -> str:
    if difference is None:
        return "not known"
    return f"{difference:.1e}" if difference else "0"


def _causes(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return the cause that stands in the verdict and the others that its page lists."""
    if verdict.verdict != DIVERGED:
        return []
    causes = [(verdict.where, verdict.cause, verdict.fix)]
    for block in verdict.details:
        if block["title"] == ALSO_FOUND:
            causes += [tuple(row) for row in block["table"][1:]]
    return causes


def write(folder: Path, verdicts: list[Verdict], versions: dict[str, str]) -> list[Path]:
    """Write data.html and a PNG of each first difference; return their paths. Raises UserError."""
    drawn = {verdict.name: sample_image.drawn(verdict.details) for verdict in verdicts}
    word = next((verdict.verdict for verdict in verdicts if not verdict.aligned), ALIGNED)
    sections = [_section(verdict, drawn[verdict.name], word) for verdict in verdicts]
    page = html.report(Section("Data", word), sections, versions=versions)
    files: dict[str, str | bytes] = {"data.html": page}
    for name, blocks in drawn.items():
        files |= {f"{name}.png": block["png"] for block in blocks if "png" in block}
    return html.write_files(folder, files)


def _section(verdict: Verdict, blocks: list[Block], of_all: str) -> Section:
    title, causes = f"{TITLES[verdict.name]} ({verdict.name})", _causes(verdict)
    summary = "" if verdict.verdict == DIVERGED else _summary(verdict).strip("()- ")
    blocks = [block for block in blocks if block["title"] != ALSO_FOUND]  # causes, above
    folded = of_all != ALIGNED and verdict.aligned
    return Section(title, verdict.verdict, summary, causes, blocks, folded)
