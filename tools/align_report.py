"""What align.py found: as text, and as a page to look at."""

import html
from pathlib import Path
from typing import Any

from common.run_folder import write_report
from tools.data_report import block
from tools.forward_report import STYLE
from tools.verdicts import ALIGNED, DIVERGED, ERROR, Verdict

ABOUT = {
    "init": "the distributions that weights are drawn from",
    "forward": "the output of every layer, from the same weights and inputs",
    "data": "what evaluation sees: pictures, labels, order, batches",
    "metric": "loss and accuracy of given logits",
    "loss": "the loss and its gradient at given logits",
    "backward": "the gradients of one batch",
    "lr": "the learning rate that the optimizer uses at each step",
    "optimizer": "what the optimizer does with given gradients",
    "train_data": "what training sees: order, crops, flips, labels, batches",
    "training": "some steps of training, the same units dropped",
    "resume": "a run that stopped within an epoch and went on, against one that did not stop",
    "distributed": "two processes against one",
    "inference": "the exported model against the live one",
}
MORE_STYLE = """
.not-run { background: #777; } .error { background: #8a5a00; }
.first { font-size: 1.05rem; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
td.what { text-align: left; white-space: normal; min-width: 16rem; }
"""


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
    return "\n".join([*lines, "", _summary(found, verdicts)])


def _summary(found: dict[str, Any], verdicts: list[Verdict]) -> str:
    compared = sum(one.verdict == ALIGNED for one in verdicts)
    if found["aligned"]:
        return f"aligned: {compared} checkpoint{'s' if compared > 1 else ''} the same"
    if found["first_divergence"]:
        return f"diverged: first at {found['first_divergence']}"
    errors = [one.name for one in verdicts if one.verdict == ERROR]
    return f"error: {', '.join(errors)} could not be compared" if errors else "nothing was compared"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def write_page(folder: Path, found: dict[str, Any], verdicts: list[Verdict]) -> Path:
    """Write one HTML file that opens from the disk by itself; return its path. Raises UserError."""
    return write_report(folder, "align.html", _page(found, verdicts))


def _page(found: dict[str, Any], verdicts: list[Verdict]) -> str:
    word = "aligned" if found["aligned"] else "diverged"
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Alignment: {word}</title><style>{STYLE}{MORE_STYLE}</style></head><body>",
        f"<h1>PyTorch and PaddlePaddle: {_badge(word)}</h1>",
        f'<p class="first">{html.escape(_summary(found, verdicts))}</p>',
        *[_cause(one) for one in verdicts if one.verdict in (DIVERGED, ERROR)],
        _overview(verdicts),
        *[_section(one, alone=len(verdicts) == 1) for one in verdicts if one.details],
    ]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([*parts, f"<p>{html.escape(versions)}</p>", "</body></html>\n"])


def _badge(verdict: str) -> str:
    return f'<span class="verdict {verdict.replace(" ", "-")}">{verdict}</span>'


def _cause(one: Verdict) -> str:
    if one.verdict == ERROR:
        return f'<div class="cause"><b>{one.name}</b>: {html.escape(one.why or "")}</div>'
    where, cause, fix = (html.escape(text or "") for text in (one.where, one.cause, one.fix))
    return (
        f'<div class="cause"><b>{one.name}</b>, {where}: {cause}'
        f'<div class="fix">fix: {fix}</div></div>'
    )


def _overview(verdicts: list[Verdict]) -> str:
    head = "<tr><th>checkpoint</th><th>verdict</th><th>float64</th><th>float32</th><th>seconds</th>"
    rows = [f'{head}<th class="left">what is compared</th></tr>']
    for one in verdicts:
        about = ABOUT.get(one.name, "") + (f" ({one.why})" if one.why else "")
        cells = [_badge(one.verdict), _figure(one.float64), _figure(one.float32)]
        cells.append(f"{one.seconds:.1f}")
        inside = "".join(f"<td>{cell}</td>" for cell in cells)
        what = f'<td class="what">{html.escape(about)}</td>'
        rows.append(f"<tr><td>{one.name}</td>{inside}{what}</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _section(one: Verdict, alone: bool) -> str:
    opened = " open" if alone or one.verdict == DIVERGED else ""
    inside = "".join(block(item) for item in one.details)
    return (
        f"<details{opened}><summary>{one.name}: {html.escape(ABOUT.get(one.name, ''))}</summary>"
        f"{inside}</details>"
    )
