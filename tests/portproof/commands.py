"""What the commands write, in the words that tests look for."""


def verdicts(report: dict) -> dict[str, dict]:
    """Return the verdicts of a report by their checkpoint."""
    return {verdict["name"]: verdict for verdict in report["checkpoints"]}


def explanation(verdict: dict) -> str:
    """Return where a verdict, or a cause, has the difference, why, and what to change."""
    return "{where}: {cause}\nfix: {fix}".format(**verdict)
