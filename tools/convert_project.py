"""Convert a PyTorch project to PaddlePaddle by a converter, and finish what it leaves.

    python tools/convert_project.py AlexNet-torch runs/converted --verify
    python tools/convert_project.py my-project my-project-paddle --pretrained weights/
    python tools/convert_project.py my-project --check            # what converters stumble over
    python tools/convert_project.py AlexNet-torch runs/x2 --with x2paddle

IN is a folder or a single file; OUT is made whole or not at all. What could not be done is listed
with file, line and fix. Exit status: 0 all done, 1 something is left to do by hand (or --verify
found a difference), 2 wrong usage or bad input.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from common import errors
from common.command_line import Parser, whole
from common.errors import UserError
from common.run_folder import write_result
from common.trees import INSTRUMENTS
from tools import models
from tools.convert import checks, files, finishing, running, verify, weights
from tools.convert.environments import TITLES
from tools.convert.source import BY_HAND, DONE, LOOK, Finding
from tools.probes import scratch

LEFT = 1
MOST_SHOWN = 12  # things done, by rule; all of them are in --json


def main() -> int:
    args = parse()
    if args.check:
        return check(args)
    check_target(args.source, args.target, args.force)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    with scratch(near=args.target.parent) as folder:
        project = convert(args, folder)
        if args.pretrained:
            project.findings += weights.convert(args, project.folder)
        put(project.folder, args.target, folder / "replaced")
    tell(args, project)
    left = any(finding.kind == BY_HAND for finding in project.findings)
    if args.verify:
        aligned = verify.verify(args.source, args.target, args.converter, args.steps)
        return LEFT if left or not aligned else 0
    return LEFT if left else 0


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="convert_project.py",
        description=__doc__,
    )
    parser.add_argument("source", type=Path, metavar="IN", help="a folder, or one .py file")
    parser.add_argument("target", type=Path, nargs="?", metavar="OUT", help="a new folder")
    parser.add_argument(
        "--with",
        dest="converter",
        choices=sorted(TITLES),
        default="paconvert",
        help="the converter (paconvert)",
    )
    parser.add_argument("--check", action="store_true", help="only say what to expect; no OUT")
    parser.add_argument(
        "--pretrained",
        type=Path,
        metavar="PATH",
        help="a file .pth .pt .ckpt, or a folder of them, to go to OUT as .pdparams",
    )
    parser.add_argument(
        "--model",
        metavar="MODULE:CALLABLE",
        help="the network of the weights, within the project (found by its layers' names)",
    )
    parser.add_argument(
        "--model-args", type=models.json_object, metavar="JSON", help="its arguments, as an object"
    )
    parser.add_argument(
        "--leave",
        action="append",
        default=[],
        choices=finishing.NAMES,
        metavar="RULE",
        help="leave a rule out, to see what the converter wrote; may be repeated: "
        + ", ".join(finishing.NAMES),
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="hold a converted copy of AlexNet-torch to the original: forward and training",
    )
    parser.add_argument(
        "--steps", type=whole(1, 1000), default=20, metavar="N", help="of --verify (20)"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    args = parser.parse_args()
    if not args.source.exists():
        parser.error(f"{args.source}: there is no such file or folder")
    if args.source.is_file() and args.source.suffix != ".py":
        parser.error(f"{args.source}: is no .py file; give one, or a folder")
    if not args.check and args.target is None:
        parser.error("name the folder OUT that is to be made, or ask for --check")
    if args.pretrained and not args.pretrained.exists():
        parser.error(f"--pretrained {args.pretrained}: there is no such file or folder")
    if args.verify and not is_tree(args.source):
        parser.error("--verify is for AlexNet-torch and copies of it, which have a probe.py")
    return args


def is_tree(folder: Path) -> bool:
    """Say whether a folder is a copy of AlexNet-torch, at which the tools can look."""
    return all((folder / name).is_file() for name in INSTRUMENTS)


def check_target(source: Path, target: Path, force: bool) -> None:
    """Raise UserError where `target` cannot be made."""
    own, other = source.resolve(), target.resolve()
    if other == own or own in other.parents or other in own.parents:
        raise UserError(f"{target}: is {source} or lies in it, or holds it; name another folder")
    if target.is_file():
        raise UserError(f"{target} is a file; name a folder")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise UserError(f"{target} exists; name another folder, or replace it by --force")
    if any(other in (place, *place.parents) for place in (Path.cwd(), Path.home().resolve())):
        raise UserError(f"{target}: you are in it, or at home; name another folder")
    near = next(parent for parent in other.parents if parent.exists())
    if not os.access(near, os.W_OK):
        raise UserError(f"{near}: cannot be written to; name a folder that can")


def check(args: argparse.Namespace) -> int:
    """Tell of what the converters are known to stumble over."""
    with scratch() as folder:
        staged = running.stage(args.source, folder / "in")
        found = checks.check(staged)
    for finding in found:
        print(finding)
    print(f"{len(found)} places to look at before the conversion")
    if args.json:
        write_result(args.json, {"findings": [vars(finding) for finding in found]})
    return LEFT if found else 0


def convert(args: argparse.Namespace, folder: Path) -> files.Project:
    """Convert and finish in `folder`. Raises UserError where the converter fails."""
    staged = running.stage(args.source, folder / "in")
    before = running.stage(args.source, folder / "before")
    tree = is_tree(args.source)
    if tree:
        for name in INSTRUMENTS:
            (staged / name).unlink()
    leave = set(args.leave)
    conversion = running.convert(args.converter, staged, folder / "out", leave)
    args.seconds = conversion.seconds
    return files.finish(args.source, before, conversion, leave, tree)


def put(folder: Path, target: Path, aside: Path) -> None:
    """Give the finished project its name; what had it goes to `aside`, and with that folder."""
    if target.exists():
        os.replace(target, aside)
    os.replace(folder, target)


def tell(args: argparse.Namespace, project: files.Project) -> None:
    """Print what was done and what is left."""
    kinds: dict[str, list[Finding]] = {DONE: [], LOOK: [], BY_HAND: []}
    for finding in sorted(project.findings, key=lambda one: (one.file, one.line)):
        kinds[finding.kind].append(finding)
    by_rule: dict[str, int] = {}
    for finding in kinds[DONE]:
        by_rule[finding.rule] = by_rule.get(finding.rule, 0) + 1
    counts = project.counts
    print(
        f"{TITLES[args.converter]}: {counts.files - counts.not_written} of {counts.files} files in "
        f"{args.seconds:.1f} s, {counts.by_machine} of {counts.lines} lines changed"
    )
    told = ", ".join(f"{name} {number}" for name, number in sorted(by_rule.items()))
    print(f"finished: {len(kinds[DONE])} places, {counts.by_rules} lines ({told})")
    for title, kind in (("look at", LOOK), ("to do by hand", BY_HAND)):
        if kinds[kind]:
            print(f"{title}: {len(kinds[kind])}")
        for finding in kinds[kind]:
            print(f"  {finding}")
    print(f"written: {args.target}")
    sys.stdout.flush()
    if args.json:
        found = {
            "converter": args.converter,
            "seconds": args.seconds,
            "counts": vars(counts),
            "findings": [vars(finding) for finding in project.findings],
        }
        write_result(args.json, found)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # scratch files go then, too
    errors.run(main)
