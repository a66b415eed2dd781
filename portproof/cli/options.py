"""Options that several commands have, and what these commands do with their results."""

import argparse
from collections.abc import Callable
from pathlib import Path

from portproof.core.findings import Report
from portproof.core.verdict import Verdict
from portproof.report import align as align_report
from portproof.system.atomic import write_result
from portproof.system.command_line import LARGEST_SEED, add_option, whole

Group = argparse._ActionsContainer


def add_path(group: Group, option: str, text: str, metavar: str = "FILE") -> None:
    """Add an option that names a file or a folder."""
    add_option(group, option, text, Path, metavar)


def add_number(
    group: Group, option: str, text: str, default=None, limits=(1, 1_000_000), metavar="N"
) -> None:
    """Add an option for a whole number within `limits`; its help ends with the default."""
    text = text if default is None else f"{text} ({default})"
    add_option(group, option, text, whole(*limits), metavar, default)


def add_seed(group: Group, text: str = "of all draws") -> None:
    add_number(group, "--seed", text, 0, (0, LARGEST_SEED))


def add_json(group: Group) -> None:
    add_path(group, "--json", "write the result as JSON")


def add_results(group: Group, page: str = "write a page to look at") -> None:
    add_json(group)
    add_path(group, "--report", page, "DIR")


def write(
    args: argparse.Namespace, report: Report, write_page: Callable[[Path], list[Path]]
) -> None:
    """Write what --json and --report ask for. Raises UserError where it cannot be written."""
    if args.json:
        write_result(args.json, report)
    if args.report:
        print(f"look at: {', '.join(map(str, write_page(args.report)))}")


def conclude(args: argparse.Namespace, report: Report, verdicts: list[Verdict]) -> int:
    """Print the verdicts of checkpoints, write what was asked for, and return the exit status."""
    print(align_report.as_text(report, verdicts))
    write(args, report, lambda folder: align_report.write_page(folder, report, verdicts))
    return 0 if report["aligned"] else 1
