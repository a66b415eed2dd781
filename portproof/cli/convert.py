"""Convert a PyTorch project to PaddlePaddle by a converter, and finish what it leaves.

    portproof convert my-project my-project-paddle --pretrained weights/
    portproof convert my-project my-project-paddle --with x2paddle
    portproof convert my-project --check             # what converters stumble over
    portproof convert my-project my-project-paddle --verify      # it has a port file, port.py

IN is a folder or a single file; OUT is made atomically. What could not be done is listed with file,
line and fix. Exit status: 0 all done, 1 something is left to do by hand (or --verify found a
difference), 2 wrong usage or bad input.
"""

import argparse
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from portproof.cli.model_options import json_object
from portproof.cli.options import add_json, add_number, add_path
from portproof.cli.project import NONE, Project
from portproof.cli.verify import Verification
from portproof.convert import files, finishing, precheck, running, weights
from portproof.convert.environments import TITLES, Environment
from portproof.convert.running import Conversion
from portproof.convert.source import BY_HAND, DONE, LOOK
from portproof.port import PORT
from portproof.system.atomic import write_result
from portproof.system.command_line import Parser, add_option
from portproof.system.errors import UserError
from portproof.worker.client import scratch


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    """Convert a project. What is converted is given the Paddle port file of `project`, if any."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # scratch files go then, too
    args = parse(argv)
    if args.check:
        return check(args)
    check_target(args.source, args.target, args.force)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    environment = Environment(args.converter, project.root)
    with scratch(near=args.target.parent) as folder:
        conversion = convert(args, environment, project.ports.get("paddle"), folder)
        if args.pretrained:
            conversion.findings += weights.convert(args, conversion.folder)
        if args.target.exists():  # what has its name goes with the scratch folder
            os.replace(args.target, folder / "replaced")
        os.replace(conversion.folder, args.target)
    print_findings(args, conversion)
    left = any(finding.kind == BY_HAND for finding in conversion.findings)
    if args.verify:
        left |= not Verification(args.source, args.target, environment, project).verify(args.steps)
    return int(left)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN", help="a folder, or one .py file")
    parser.add_argument("target", type=Path, nargs="?", metavar="OUT", help="a new folder")
    converters = sorted(TITLES)
    add_option(parser, "--with", "the converter (paconvert)", converters, default="paconvert")
    add_option(parser, "--check", "only say what to expect; no OUT")
    weights = "a file .pth .pt .ckpt, or a folder of them, to go to OUT as .pdparams"
    add_path(parser, "--pretrained", weights, "PATH")
    network = "the network of the weights, within the project (found by its layers' names)"
    add_option(parser, "--model", network, str, "MODULE:CALLABLE")
    add_option(parser, "--model-args", "its arguments, as an object", json_object, "JSON")
    rules = "leave a rule out, to see what the converter wrote; may be repeated: "
    rules += ", ".join(finishing.NAMES)
    add_option(parser, "--leave", rules, finishing.NAMES, "RULE", [])
    verified = f"hold the conversion to the original, by their {PORT}: forward and training"
    add_option(parser, "--verify", verified)
    add_number(parser, "--steps", "of --verify", 20, (1, 1000))
    add_option(parser, "--force", "replace OUT if it exists")
    add_json(parser)
    args = parser.parse_args(argv)
    args.converter = vars(args)["with"]  # a keyword of Python's
    if not args.source.exists():
        parser.error(f"{args.source}: there is no such file or folder")
    if args.source.is_file() and args.source.suffix != ".py":
        parser.error(f"{args.source}: is no .py file; give one, or a folder")
    if not args.check and args.target is None:
        parser.error("name the folder OUT that is to be made, or ask for --check")
    if args.pretrained and not args.pretrained.exists():
        parser.error(f"--pretrained {args.pretrained}: there is no such file or folder")
    if args.verify and not (args.source / PORT).is_file():
        parser.error(f"--verify needs a port file, {args.source / PORT} (portproof/port.py)")
    return args


def check_target(source: Path, target: Path, force: bool) -> None:
    """Raise UserError where `target` cannot be made."""
    source_path, path = source.resolve(), target.resolve()
    if path == source_path or source_path in path.parents or path in source_path.parents:
        raise UserError(f"{target}: is {source} or lies in it, or holds it; name another folder")
    if target.is_file():
        raise UserError(f"{target} is a file; name a folder")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise UserError(f"{target} exists; name another folder, or replace it by --force")
    if any(path in (inner, *inner.parents) for inner in (Path.cwd(), Path.home().resolve())):
        raise UserError(f"{target}: you are in it, or at home; name another folder")
    near = next(parent for parent in path.parents if parent.exists())
    if not os.access(near, os.W_OK):
        raise UserError(f"{near}: cannot be written to; name a folder that can")


def check(args: argparse.Namespace) -> int:
    """Tell of what the converters are known to stumble over."""
    with scratch() as folder:
        findings = precheck.check(running.stage(args.source, folder / "in"))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} places to look at before the conversion")
    if args.json:
        write_result(args.json, {"findings": [vars(finding) for finding in findings]})
    return 1 if findings else 0


def convert(
    args: argparse.Namespace, environment: Environment, port: Path | None, folder: Path
) -> Conversion:
    """Convert and finish in `folder`. Raises UserError where the converter fails.

    Where the project has a port file, `port` takes its place; None: that is converted too.
    """
    staged = running.stage(args.source, folder / "in")
    before = running.stage(args.source, folder / "before")
    port = port if (args.source / PORT).is_file() else None
    if port:
        (staged / PORT).unlink()
    leave = set(args.leave)
    conversion = running.convert(environment, staged, folder / "out", leave)
    files.finish(args.source, before, conversion, leave, port)
    return conversion


def print_findings(args: argparse.Namespace, conversion: Conversion) -> None:
    """Print what was done and what is left, and write it as JSON where that was asked for."""
    findings = sorted(conversion.findings, key=lambda finding: (finding.file, finding.line))
    by_rule = Counter(finding.rule for finding in findings if finding.kind == DONE)
    counts = conversion.counts
    written = f"{counts.files - counts.not_written} of {counts.files} files"
    changed = f"{counts.by_machine} of {counts.lines} lines changed"
    print(f"{TITLES[args.converter]}: {written} in {conversion.seconds:.1f} s, {changed}")
    rules = ", ".join(f"{name} {number}" for name, number in sorted(by_rule.items()))
    print(f"finished: {by_rule.total()} places, {counts.by_rules} lines ({rules})")
    for title, kind in (("look at", LOOK), ("to do by hand", BY_HAND)):
        lines = [f"  {finding}" for finding in findings if finding.kind == kind]
        if lines:
            print(f"{title}: {len(lines)}", *lines, sep="\n")
    print(f"written: {args.target}", flush=True)
    if args.json:
        report = {
            "converter": args.converter,
            "seconds": conversion.seconds,
            "counts": vars(counts),
            "findings": [vars(finding) for finding in conversion.findings],
        }
        write_result(args.json, report)
