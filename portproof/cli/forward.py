"""Same weights, same inputs, both frameworks: where do the two networks first differ, and why.

    portproof forward --torch-port a/port.py --paddle-port b/port.py
    portproof forward --weights weights.pth --images photos/ --paddle-port my-copy/port.py
    portproof forward --torch-model torchvision.models:resnet18 \\
        --paddle-model paddle.vision.models:resnet18

Every layer is compared in float64, which decides whether both compute the same, and in float32,
which shows the rounding that users see; in evaluation mode at two sizes of the input, and in
training mode with the same units dropped. Exit status: 0 aligned, 1 diverged, 2 wrong usage or bad
input.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from portproof.checks import forward
from portproof.cli import model_options
from portproof.cli.project import NONE, Project
from portproof.core.inputs import Inputs
from portproof.report import forward as forward_report
from portproof.system.atomic import write_result
from portproof.system.command_line import LARGEST_SEED, Parser, whole
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import kept_running, scratch

DIVERGED = 1


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    own = {side: getattr(args, f"{side}_weights") for side in FRAMEWORKS}
    inputs = Inputs(
        args.input_shape,
        args.input_dtype,
        args.batch_size,
        (args.image_size, args.second_image_size),
        args.images,
        args.seed,
    )
    with scratch() as folder, kept_running():
        found = forward.compare(
            model_options.sides(args, project),
            folder,
            inputs,
            weights=args.weights,
            own_weights=own if all(own.values()) else None,
            pairs=dict(args.map or []),
        )
    print(forward_report.as_text(found))
    if args.json:
        write_result(args.json, forward_report.as_json(found))
    if args.report:
        print(f"look at: {forward_report.write_page(args.report, found)}")
    return 0 if found.aligned else DIVERGED


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    group = parser.add_argument_group("weights (without these: drawn from the seed)")
    group.add_argument("--weights", type=Path, metavar="FILE", help="of either framework, for both")
    for framework in FRAMEWORKS:
        group.add_argument(
            f"--{framework}-weights",
            type=Path,
            metavar="FILE",
            help=f"{framework}'s own file, loaded as it is",
        )
    group = parser.add_argument_group("inputs (without these: drawn from the seed)")
    group.add_argument("--images", type=Path, metavar="DIR", help="images, not drawn numbers")
    group.add_argument("--batch-size", type=whole(1), default=2, metavar="N", help="images (2)")
    group.add_argument(
        "--image-size", type=whole(1), default=224, metavar="PIXELS", help="width and height (224)"
    )
    group.add_argument(
        "--second-image-size",
        type=whole(0),
        default=forward.SIZES[1],
        metavar="PIXELS",
        help="a second size, for what agrees at the first alone; 0: none (190)",
    )
    group.add_argument(
        "--seed",
        type=whole(0, LARGEST_SEED),
        default=0,
        metavar="N",
        help="of drawn weights, inputs and dropout (0)",
    )
    model_options.add_arguments(parser, project)
    group = parser.add_argument_group("results")
    group.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    group.add_argument("--report", type=Path, metavar="DIR", help="write a page to look at")
    args = parser.parse_args(argv)
    own = [args.torch_weights, args.paddle_weights]
    if any(own) and (args.weights or not all(own)):
        parser.error("give --weights, or both --torch-weights and --paddle-weights")
    return args
