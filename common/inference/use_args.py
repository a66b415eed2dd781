"""The command lines of predict.py and export.py, one for both trees."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.networks import LARGEST_IMAGE, SMALLEST_IMAGE
from common.training.args import check_exists
from portproof.system.command_line import Parser, add_options, device, whole

# Tables of options, as `add_options` takes them.
MODEL = (
    ("--classes", "the names of the classes, one a line (those that the weights come with)",
     Path, "FILE"),
    ("--image-size", "width and height of the network's input (that of the weights' run, else 224)",
     whole(SMALLEST_IMAGE, LARGEST_IMAGE), "PIXELS"),
)  # fmt: skip
ANSWERS = (
    ("--json", "write the answers as JSON; -: to standard output, alone", str, "FILE"),
    ("--plot", "draw each image with its answers", Path, "FILE.png"),
)  # fmt: skip
EXPORT = (
    ("--output", "the file, or the folder for inference (beside the weights, with their name)",
     Path, "PATH"),
    ("--data-path", "check it on images of DIR/val/<class>/*; none: the embedded sample",
     Path, "DIR"),
)  # fmt: skip
RUN = (
    ("--batch-size", "images at once (32)", whole(1), "N", 32),
    ("--workers", "processes that read images; 0: the predicting process itself (0)",
     whole(0, 1024), "N", 0),
    ("--device",
     "auto, cpu, gpu or gpu:NUMBER (auto: a GPU where there is one); an exported model runs on "
     "the processor", device, "NAME", "auto"),
)  # fmt: skip


def parse_predict(framework: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse `argv` for predict.py. Exit status 2 on a mistake."""
    parser = Parser(
        prog="predict.py",
        description=f"Say what images show: the five likeliest classes of each, by {framework}.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file, a folder with images at any depth, or a pattern in quotes; where a name "
        "begins with a dash, -- before the first",
    )
    _add_model(parser, "a checkpoint, other weights, or an exported model")
    add_options(parser.add_argument_group("output"), ANSWERS)
    add_options(parser.add_argument_group("run"), RUN)
    args = parser.parse_args(argv)
    _check_model(parser, args)
    if args.json and args.json != "-":
        _check_folder(parser, "json", Path(args.json))
    if args.plot:
        if args.plot.suffix.lower() != ".png":
            parser.error(f"--plot {args.plot}: name a file that ends with .png")
        _check_folder(parser, "plot", args.plot)
    return args


def parse_export(
    framework: str, formats: Mapping[str, str], argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parse `argv` for export.py; `formats` maps each to its ending. Exit status 2 on a mistake."""
    parser = Parser(
        prog="export.py",
        description=f"Export weights of {framework} as a model that runs without this tree.",
    )
    _add_model(parser, "a checkpoint, or other weights")
    parser.add_argument("--format", choices=list(formats), required=True, help="of the output")
    add_options(parser, EXPORT)
    args = parser.parse_args(argv)
    _check_model(parser, args)
    ending = formats[args.format]
    args.output = args.output or args.weights.with_name(args.weights.stem + ending)
    if not args.output.name.endswith(ending):
        parser.error(f"--output {args.output}: the format {args.format} needs the ending {ending}")
    _check_folder(parser, "output", args.output)
    check_exists(parser, "data-path", args.data_path, "folder")
    return args


def _add_model(parser: Parser, what: str) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--weights", type=Path, required=True, metavar="FILE", help=what)
    add_options(model, MODEL)


def _check_model(parser: Parser, args: argparse.Namespace) -> None:
    if not args.weights.exists():
        parser.error(f"--weights {args.weights}: there is no such file")
    check_exists(parser, "classes", args.classes)


def _check_folder(parser: Parser, option: str, path: Path) -> None:
    if not path.absolute().parent.is_dir():
        parser.error(f"--{option} {path}: its folder is not there; make it first")
