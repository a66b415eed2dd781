"""Same pictures, both loaders: where do the two streams of samples first differ, and why.

    python tools/compare_data.py                                  # the embedded sample
    python tools/compare_data.py --data-path DIR --limit 0        # every picture of DIR
    python tools/compare_data.py --paddle-tree my-copy-of-AlexNet-paddle --report report/

Compared are what evaluation sees (checkpoint `data`) and several epochs of what training sees
(`train_data`): order, labels, batches, the decoded pictures, and every number after normalization.
Exit status: 0 aligned, 1 diverged, 2 wrong usage or bad input.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from common import errors, sample
from common.args import LARGEST_SEED, SMALLEST_IMAGE
from common.command_line import Parser, whole
from common.recipes import RECIPES
from common.run_folder import package_versions, write_result
from tools import data_checks, data_report, data_streams
from tools.data_streams import Pictures
from tools.probes import FRAMEWORKS, Side, add_trees, default_tree, kept_running, scratch
from tools.verdicts import DIVERGED, ERROR

LIMIT = 100  # pictures of each split, unless another number is given


def main() -> int:
    args = parse()
    recipe = RECIPES["imagenet" if args.data_path else "sample"]
    pictures = Pictures(
        args.data_path or sample.ensure(),
        args.image_size or recipe.image_size,
        args.batch_size or recipe.batch_size,
        args.seed,
        args.workers,
        args.epochs,
    )
    sides = {
        name: Side(name, getattr(args, f"{name}_tree") or default_tree(name)) for name in FRAMEWORKS
    }
    with scratch() as folder, kept_running():
        chosen = data_streams.choose(
            pictures.folder, folder / "pictures", args.limit, pictures.batch_size
        )
        pictures = replace(pictures, folder=chosen)
        verdicts = [
            check(sides, folder, pictures)
            for check in (data_checks.check_data, data_checks.check_train_data)
        ]
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
    return errors.BAD_INPUT if ERROR in words else 0


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="compare_data.py",
        description=__doc__,
    )
    group = parser.add_argument_group("pictures")
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
        help=f"pictures of each split, spread over the classes; 0: all ({LIMIT})",
    )
    group.add_argument(
        "--epochs", type=whole(1, 1000), default=2, metavar="N", help="passes over train (2)"
    )
    group = parser.add_argument_group("options of train.py, the same for both trees")
    group.add_argument(
        "--image-size",
        type=whole(SMALLEST_IMAGE, 4096),
        metavar="PIXELS",
        help="width and height of the network's input (64 for the sample, else 224)",
    )
    group.add_argument("--batch-size", type=whole(1), metavar="N", help="pictures of a batch (32)")
    group.add_argument(
        "--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N", help="of all draws (0)"
    )
    group.add_argument(
        "--workers", type=whole(0, 1024), default=2, metavar="N", help="processes that read (2)"
    )
    group = parser.add_argument_group("trees (without these: this repository's)")
    add_trees(group, named_alone=True)
    group = parser.add_argument_group("results")
    group.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    group.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write a page, and the first difference of each checkpoint as a PNG",
    )
    args = parser.parse_args()
    if args.data_path is not None:
        if not args.data_path.is_dir():
            parser.error(f"--data-path {args.data_path}: there is no such folder")
        args.data_path = args.data_path.resolve()
    for framework in FRAMEWORKS:
        tree = getattr(args, f"{framework}_tree")
        if tree is not None and not (tree / "probe.py").is_file():
            parser.error(f"--{framework}-tree {tree}: has no probe.py; copy AlexNet-{framework}")
    return args


if __name__ == "__main__":
    errors.run(main)
