"""Options that several commands have, and what these commands do with their results."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portproof.core.verdict import Verdict
from portproof.report import align as align_report
from portproof.system.atomic import write_result
from portproof.system.command_line import LARGEST_SEED, whole


def add_path(
    parser: argparse._ActionsContainer, option: str, help: str, metavar: str = "FILE"
) -> None:
    """Add an option that names a file or a folder."""
    parser.add_argument(option, type=Path, metavar=metavar, help=help)


def add_number(
    parser: argparse._ActionsContainer,
    option: str,
    help: str,
    default: int | None = None,
    limits: tuple[int, int] = (1, 1_000_000),
    metavar: str = "N",
) -> None:
    """Add an option for a whole number within `limits`; its help ends with the default."""
    help = help if default is None else f"{help} ({default})"
    parser.add_argument(option, type=whole(*limits), default=default, metavar=metavar, help=help)


def add_seed(parser: argparse._ActionsContainer, help: str = "of all draws") -> None:
    add_number(parser, "--seed", help, 0, (0, LARGEST_SEED))


def add_json(parser: argparse._ActionsContainer) -> None:
    add_path(parser, "--json", "write the result as JSON")


def add_results(parser: argparse._ActionsContainer, page: str = "write a page to look at") -> None:
    add_json(parser)
    add_path(parser, "--report", page, "DIR")


def write(
    args: argparse.Namespace, report: dict[str, Any], write_page: Callable[[Path], list[Path]]
) -> None:
    """Write what --json and --report ask for. Raises UserError where it cannot be written."""
    if args.json:
        write_result(args.json, report)
    if args.report:
        print(f"look at: {', '.join(map(str, write_page(args.report)))}")


def conclude(args: argparse.Namespace, report: dict[str, Any], verdicts: list[Verdict]) -> int:
    """Print the verdicts of checkpoints, write what was asked for, and return the exit status."""
    print(align_report.as_text(report, verdicts))
    write(args, report, lambda folder: align_report.write_page(folder, report, verdicts))
    return 0 if report["aligned"] else 1
