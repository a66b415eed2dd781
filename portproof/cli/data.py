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
from portproof.cli.project import NONE, Project, add_ports, sides
from portproof.core import streams
from portproof.core.streams import Images
from portproof.core.verdict import DIVERGED, ERROR, NOT_RUN
from portproof.report import data as data_report
from portproof.system import errors
from portproof.system.atomic import write_result
from portproof.system.command_line import LARGEST_SEED, Parser, whole
from portproof.system.versions import package_versions
from portproof.worker.client import kept_running, scratch

LIMIT = 100  # images of each split, unless another number is given


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    ports = sides(args, project)
    images = Images(
        project.images(args.data_path),
        args.image_size or project.size_of(args.data_path, None),
        args.batch_size or project.batch_size,
        args.seed,
        args.workers,
        args.epochs,
    )
    with scratch() as folder, kept_running():
        chosen = streams.choose(images.folder, folder / "pictures", args.limit, images.batch_size)
        images = replace(images, folder=chosen)
        verdicts = [check(ports, folder, images) for check in (check_data, check_train_data)]
    found = data_report.as_json(verdicts, package_versions())
    print(data_report.as_text(verdicts))
    if args.json:
        write_result(args.json, found)
    if args.report:
        paths = data_report.write(args.report, verdicts, found["versions"])
        print(f"look at: {', '.join(map(str, paths))}")
    words = [verdict.verdict for verdict in verdicts]
    if DIVERGED in words:
        return 1
    return errors.BAD_INPUT if {ERROR, NOT_RUN} & set(words) else 0


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    group = parser.add_argument_group("images")
    group.add_argument(
        "--data-path",
        type=Path,
        metavar="DIR",
        help="a folder with train/<class>/* and val/<class>/*; none: the embedded sample",
    )
    group.add_argument(
        "--limit",
        type=whole(0, 100_000_000),
        default=LIMIT,
        metavar="N",
        help=f"images of each split, spread over the classes; 0: all ({LIMIT})",
    )
    group.add_argument(
        "--epochs", type=whole(1, 1000), default=2, metavar="N", help="passes over train (2)"
    )
    group = parser.add_argument_group("settings, the same for both sides")
    group.add_argument(
        "--image-size",
        type=whole(min(project.networks.values(), default=1), 4096),
        metavar="PIXELS",
        help="width and height of the network's input (64 for the sample, else 224)",
    )
    group.add_argument("--batch-size", type=whole(1), metavar="N", help="images of a batch (32)")
    group.add_argument(
        "--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N", help="of all draws (0)"
    )
    group.add_argument(
        "--workers", type=whole(0, 1024), default=2, metavar="N", help="processes that read (2)"
    )
    group = parser.add_argument_group("ports (without these: the project's own)")
    add_ports(group, project)
    group = parser.add_argument_group("results")
    group.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    group.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write a page, and the first difference of each checkpoint as a PNG",
    )
    args = parser.parse_args(argv)
    if args.data_path is not None:
        if not args.data_path.is_dir():
            parser.error(f"--data-path {args.data_path}: there is no such folder")
        args.data_path = args.data_path.resolve()
    return args
