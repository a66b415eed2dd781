"""Carry weights from one framework to the other, every bit of them.

    portproof transfer weights.pth weights.pdparams
    portproof transfer resnet18.pth resnet18.pdparams \\
        --torch-model torchvision.models:resnet18 --paddle-model paddle.vision.models:resnet18

The endings say what is what: .pth and .pt are PyTorch's, .pdparams PaddlePaddle's, .safetensors is
neutral, in torch's names and layout. The target is written, read back and compared bit for bit
before it takes its name. Exit status: 0 done, 2 wrong usage or bad input.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from portproof.cli import model_options
from portproof.cli.project import NONE, Project
from portproof.core.inputs import IMAGE_SHAPE
from portproof.core.transfer import Request, Transferred, transfer
from portproof.core.weight_files import FRAMEWORK
from portproof.report.text import columns
from portproof.system.command_line import Parser, add_option
from portproof.system.errors import UserError
from portproof.worker.client import scratch


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # scratch files go then, too
    args = parse(argv, project)
    check_paths(args.source, args.target, args.force)
    sides, pairs = model_options.sides(args, project), dict(args.map)
    shape, dtype = args.input_shape or IMAGE_SHAPE, args.input_dtype
    request = Request(sides, args.source, args.target, shape, dtype, pairs)
    try:
        with scratch(near=args.target.parent) as folder:
            done = transfer(request, folder)
    except OSError as error:
        what = f"{args.target}: cannot be written ({error.strerror or error})"
        raise UserError(f"{what}; free some space, or name another folder") from error
    print_table(args, done)
    return 0


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("source", type=Path, metavar="SOURCE", help=".pth .pt .pdparams")
    parser.add_argument("target", type=Path, metavar="TARGET", help="or .safetensors, any to any")
    add_option(parser, "--force", "replace TARGET if it exists")
    add_option(parser, "--json", "print the result as JSON")
    model_options.add_arguments(parser, project)
    parser.set_defaults(model=None)  # without --model, the file says which of the networks it is
    return parser.parse_args(argv)


def check_paths(source: Path, target: Path, force: bool) -> None:
    """Raise UserError where the source cannot be read, or the target cannot be written."""
    for path in (source, target):
        if path.suffix not in FRAMEWORK:
            endings = ", ".join(FRAMEWORK)
            raise UserError(f"{path}: the ending says nothing; use {endings} for the framework")
    if not os.path.isfile(source):
        raise UserError(f"{source}: no such file; give the file that holds the weights")
    if not os.access(source, os.R_OK):
        raise UserError(f"{source}: cannot be read; get the permission to, or copy it")
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder; name a file")
    if os.path.exists(target) and os.path.samefile(source, target):
        raise UserError(f"{source} and {target} are one file; name another target")
    if os.path.lexists(target) and not force:
        raise UserError(f"{target} exists; name another file, or replace it by --force")
    if not os.path.isdir(target.parent):
        raise UserError(f"{target.parent}: no such folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{target.parent}: cannot be written to; name a folder that can")


def print_table(args: argparse.Namespace, done: Transferred) -> None:
    """Print the table and the totals, or the same as JSON."""
    rows, arrays = done.rows, [tensor.array for tensor in done.tensors.values()]
    totals = {
        "tensors": len(arrays),
        "elements": sum(array.size for array in arrays),
        "bytes": sum(array.nbytes for array in arrays),
        "transposed": sum(row.action.startswith("transposed") for row in rows),
        "left_out": sum(row.target is None for row in rows),
    }
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if args.json:
        report = {
            "source": str(args.source),
            "target": str(args.target),
            "rows": [asdict(row) for row in rows],
            "totals": totals,
            "warnings": done.warnings,
            "verified": True,
        }
        print(json.dumps(report, indent=2))
        return
    lines = [("source", "target", "shape", "")]
    for row in rows:
        shape = "x".join(map(str, row.shape)) or "1"
        lines.append((row.source or "-", row.target or "-", shape, row.action))
    print("\n".join(columns(lines)))
    counts = "{tensors} tensors, {elements:,} numbers, {transposed} transposed, {left_out} left out"
    print(f"done: {counts.format(**totals)}; {args.target} read back, every bit the same")
