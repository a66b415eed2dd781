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

from portproof.checks import forward
from portproof.cli import model_options
from portproof.cli.options import add_number, add_path, add_results, add_seed, write
from portproof.cli.project import NONE, Project
from portproof.core.inputs import Inputs
from portproof.report import forward as forward_report
from portproof.system.command_line import Parser
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import kept_running, scratch


def main(argv: Sequence[str] | None = None, project: Project = NONE) -> int:
    args = parse(argv, project)
    own_files = {side: getattr(args, f"{side}_weights") for side in FRAMEWORKS}
    own_weights = own_files if all(own_files.values()) else None
    sizes = args.image_size, args.second_image_size
    shape, dtype = args.input_shape, args.input_dtype
    inputs = Inputs(shape, dtype, args.batch_size, sizes, args.images, args.seed)
    with scratch() as folder, kept_running():
        sides, pairs = model_options.sides(args, project), dict(args.map)
        comparison = forward.compare(sides, folder, inputs, args.weights, own_weights, pairs)
    print(forward_report.as_text(comparison))
    report = forward_report.as_json(comparison)
    write(args, report, lambda folder: forward_report.write_page(folder, comparison))
    return 0 if comparison.aligned else 1


def parse(argv: Sequence[str] | None, project: Project) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    group = parser.add_argument_group("weights (without these: drawn from the seed)")
    add_path(group, "--weights", "of either framework, for both")
    for framework in FRAMEWORKS:
        add_path(group, f"--{framework}-weights", f"{framework}'s own file, loaded as it is")
    group = parser.add_argument_group("inputs (without these: drawn from the seed)")
    add_path(group, "--images", "images, not drawn numbers", "DIR")
    add_number(group, "--batch-size", "images", 2)
    add_number(group, "--image-size", "width and height", 224, metavar="PIXELS")
    second = "a second size, for what agrees at the first alone; 0: none"
    size = forward.SIZES[1]
    add_number(group, "--second-image-size", second, size, (0, 1_000_000), "PIXELS")
    add_seed(group, "of drawn weights, inputs and dropout")
    model_options.add_arguments(parser, project)
    add_results(parser.add_argument_group("results"))
    args = parser.parse_args(argv)
    own_files = [args.torch_weights, args.paddle_weights]
    if any(own_files) and (args.weights or not all(own_files)):
        parser.error("give --weights, or both --torch-weights and --paddle-weights")
    return args
