"""Commands called in this process, and what they say."""

import subprocess

from tests.support.mains import run_one


def call(module: str, *options: object) -> subprocess.CompletedProcess:
    """Call main() of a module, as `tools.align`; return what a process of its own would have."""
    words = [str(option) for option in options]
    return subprocess.CompletedProcess([module, *words], *run_one(module, words))


def verdicts(report: dict) -> dict[str, dict]:
    """Return the verdicts of a report by their checkpoint."""
    return {verdict["name"]: verdict for verdict in report["checkpoints"]}


def explanation(verdict: dict) -> str:
    """Return where a verdict, or a cause, has the difference, why, and what to change."""
    return "{where}: {cause}\nfix: {fix}".format(**verdict)
