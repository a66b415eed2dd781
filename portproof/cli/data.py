"""Same images, both loaders: where do the two streams of samples first differ, and why.

    portproof data --torch-port a/port.py --paddle-port b/port.py --data-path DIR
    portproof data --torch-port a/port.py --paddle-port b/port.py --data-path DIR --limit 0  # all

Compared are what evaluation sees (checkpoint `data`) and several epochs of what training sees
(`train_data`): order, labels, batches, the decoded images, and every number after normalization.
Exit status: 0 aligned, 1 diverged, 2 wrong usage or bad input.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from portproof.checks.data import check_data
from portproof.checks.train_data import check_train_data
from portproof.cli.options import add_number, add_path, add_results, add_seed, write
from portproof.cli.project import NONE, Project, add_ports, sides
from portproof.core.needs import ask_about, why_not_run
from portproof.core.streams import Images
from portproof.core.verdict import DIVERGED, ERROR, NOT_RUN, Verdict
from portproof.report import align as align_report
from portproof.report import data as data_report
from portproof.system import errors
from portproof.system.command_line import Parser
from portproof.system.errors import UserError
from portproof.worker.client import Sides, kept_running, scratch

LIMIT = 100  # images of each split, unless another number is given


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    ports = sides(args, project)
    with scratch() as folder, kept_running():
        images = project.choose(args, folder / "chosen", args.limit, args.workers)
        verdicts = run(ports, folder, replace(images, epochs=args.epochs))
    report = align_report.as_json(verdicts)
    report["aligned"] = all(verdict.aligned for verdict in verdicts)
    print(data_report.as_text(verdicts))
    write(args, report, lambda folder: data_report.write(folder, verdicts, report["versions"]))
    words = {verdict.verdict for verdict in verdicts}
    if DIVERGED in words:
        return 1
    return errors.BAD_INPUT if words & {ERROR, NOT_RUN} else 0


def run(sides: Sides, folder: Path, images: Images) -> list[Verdict]:
    """Return the verdicts of both checkpoints; not run: those for which a port lacks a function."""
    checks = {"data": check_data, "train_data": check_train_data}
    try:
        about = ask_about(sides, folder / "about")
    except UserError as error:
        return [Verdict(name, ERROR, why=" ".join(str(error).split())) for name in checks]
    verdicts = []
    for name, check in checks.items():
        why = why_not_run(name, sides, about)
        verdicts.append(Verdict(name, NOT_RUN, why=why) if why else check(sides, folder, images))
    return verdicts


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    group = parser.add_argument_group("images")
    path = "a folder with train/<class>/* and val/<class>/*; none: the embedded sample"
    add_path(group, "--data-path", path, "DIR")
    limit = "images of each split, spread over the classes; 0: all"
    add_number(group, "--limit", limit, LIMIT, (0, 100_000_000))
    add_number(group, "--epochs", "passes over train", 2, (1, 1000))
    group = parser.add_argument_group("settings, the same for both sides")
    size = "width and height of the network's input (64 for the sample, else 224)"
    smallest = min(project.networks.values(), default=1)
    add_number(group, "--image-size", size, limits=(smallest, 4096), metavar="PIXELS")
    add_number(group, "--batch-size", "images of a batch (32)")
    add_seed(group)
    add_number(group, "--workers", "processes that read", 2, (0, 1024))
    add_ports(parser.add_argument_group("ports (without these: the project's own)"), project)
    page = "write a page, and the first difference of each checkpoint as a PNG"
    add_results(parser.add_argument_group("results"), page)
    args = parser.parse_args(argv)
    project.check(parser, args)
    args.data_path = args.data_path and args.data_path.resolve()
    return args
