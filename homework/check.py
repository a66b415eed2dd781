"""Grade a port of the homework: which checkpoints are passed, and where the first mistake is.

    python -m homework.check DIR
    python -m homework.check DIR --only forward,init
    python -m homework.check DIR --seed 7 --json grade.json

Exit status: 0 all passed, 1 not yet, 2 wrong usage.
"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from homework import plan
from homework.grading import Grader
from homework.plan import PASSED, POINTS, Drawn, Grade
from portproof.cli.options import add_json, add_number
from portproof.system import errors
from portproof.system.atomic import write_result
from portproof.system.command_line import Parser, names_of
from portproof.system.versions import package_versions
from portproof.worker.client import Side, kept_running, scratch

LARGEST_SEED = 1_000_000


def main(argv: Sequence[str] | None = None, made: dict[int | None, Side] | None = None) -> int:
    """Grade; `made` holds torch sides that have been made before, by width."""
    args = parse(argv)
    port = plan.read(args.port)
    chosen = args.only or list(POINTS)
    drawn = Drawn.of(secrets.randbelow(LARGEST_SEED) if args.seed is None else args.seed)
    print(f"{args.port} against homework/ResNet-torch, --seed {drawn.seed}", flush=True)
    grades = []
    with scratch() as folder, kept_running():
        for grade in Grader(port, drawn, folder, made).grade(chosen, tell):
            grades.append(grade)
            print(as_text(grade), flush=True)
    report = as_json(grades, drawn)
    print(f"points: {report['points']} of {report['of']}")
    if args.json:
        write_result(args.json, report)
    return 0 if report["passed"] else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    points = ", ".join(f"{name} {points}" for name, points in POINTS.items())
    parser = Parser(prog="python -m homework.check", description=__doc__)
    parser.epilog = f"The checkpoints and their points: {points}."
    parser.add_argument("port", type=Path, metavar="DIR", help="the folder of your port")
    parser.add_argument(
        "--only",
        type=names_of("checkpoint", POINTS),
        metavar="NAMES",
        help="these alone, with commas",
    )
    text = "of weights, images and sizes, to repeat a grading (another one each time)"
    add_number(parser, "--seed", text, limits=(0, LARGEST_SEED))
    add_json(parser)
    args = parser.parse_args(argv)
    if not args.port.is_dir():
        parser.error(f"{args.port}: there is no such folder; python -m homework.start makes it")
    return args


def tell(text: str) -> None:
    """Say on a terminal what takes a while."""
    if sys.stderr.isatty():
        print(f"  {text} ...", end="\r", file=sys.stderr, flush=True)


def as_text(grade: Grade) -> str:
    """Return the lines of one checkpoint."""
    text = f"{grade.name:10} {grade.points:3} of {grade.of:2}  {grade.verdict}"
    if grade.verdict == PASSED and grade.float64 is not None:
        text += f", within {grade.float64:.1e}"
    cause = ": ".join(filter(None, (grade.place, grade.cause)))
    where, hint = f"look at {grade.where}", f"hint: {grade.hint}"
    lines = [cause, grade.where and where, grade.hint and hint, grade.note]
    return "\n           ".join([text, *filter(None, lines)])


def as_json(grades: list[Grade], drawn: Drawn) -> dict:
    """Return the result ready for JSON."""
    return {
        "passed": all(grade.verdict == PASSED for grade in grades),
        "points": sum(grade.points for grade in grades),
        "of": sum(grade.of for grade in grades),
        "checkpoints": [asdict(grade) for grade in grades],
        "drawn": asdict(drawn),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    errors.run(main)
