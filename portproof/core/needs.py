"""Which checkpoints can run: those whose functions both ports define (portproof/port.py)."""

from pathlib import Path

from portproof.core.findings import Report
from portproof.port import lacking
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Sides, ask_both


def ask_about(sides: Sides, folder: Path) -> dict[str, Report]:
    """Return by side a port's `functions` and `settings`. Raises UserError where it cannot run."""
    reports = ask_both([sides[side] for side in FRAMEWORKS], folder, [{"about": {}}] * 2)
    return {side: report["about"] for side, report in zip(FRAMEWORKS, reports, strict=True)}


def why_not_run(checkpoint: str, sides: Sides, about: dict[str, dict]) -> str | None:
    """Return which functions a port lacks for a checkpoint; None: it can run."""
    words = {}
    for side in FRAMEWORKS:
        ways = lacking(checkpoint, about[side]["functions"])
        words[side] = ", or else ".join(" and ".join(f"{n}()" for n in way) for way in ways)
    if words["torch"] and words["torch"] == words["paddle"]:
        return f"neither port has {words['torch']}"
    lacks = [f"{sides[side].port} has no {names}" for side, names in words.items() if names]
    return "; ".join(lacks) or None
