"""Which checkpoints can run: those whose functions both ports define (portproof/port.py)."""

from pathlib import Path
from typing import Any

from portproof.port import lacking
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Side, ask_both


def ask_about(sides: dict[str, Side], folder: Path) -> dict[str, dict[str, Any]]:
    """Return, by side, the `functions` that a port defines and the `settings` that it takes.

    `folder` is for what the workers write. Raises UserError where a port file cannot be run.
    """
    asked = [sides[framework] for framework in FRAMEWORKS]
    reports = ask_both(asked, folder, [{"about": {}}] * len(asked))
    return {side.framework: r["about"] for side, r in zip(asked, reports, strict=True)}


def why_not_run(checkpoint: str, sides: dict[str, Side], about: dict[str, dict]) -> str | None:
    """Return which functions a port lacks for a checkpoint; None: it can run."""
    lacks = {side: lacking(checkpoint, about[side]["functions"]) for side in FRAMEWORKS}
    told = {
        side: ", or else ".join(" and ".join(f"{name}()" for name in way) for way in ways)
        for side, ways in lacks.items()
        if ways
    }
    if len(told) == len(FRAMEWORKS) and len(set(told.values())) == 1:
        return f"neither port has {told[FRAMEWORKS[0]]}"
    return "; ".join(f"{sides[side].port} has no {words}" for side, words in told.items()) or None
