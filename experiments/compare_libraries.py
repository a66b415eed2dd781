"""Compare the networks that torchvision and paddle.vision both ship: is each pair the same network?

    python tools/compare_libraries.py                       # all; writes docs/results/libraries.*
    python tools/compare_libraries.py --only resnet18 vgg11_bn

For each pair the weights of one are carried over to the other, and the forward passes compared in
float64 and float32, layer by layer, as tools/compare_forward.py does. Exit status: 0 all the same,
1 some differ, 2 wrong usage.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from common.paths import ROOT
from experiments.collected import made_on, write_csv
from portproof.checks import forward
from portproof.core.inputs import Inputs
from portproof.report import forward as forward_report
from portproof.report import markdown
from portproof.system import errors
from portproof.system.command_line import Parser
from portproof.system.errors import UserError
from portproof.worker.client import Side, kept_running, scratch

MENDED = ROOT / "examples" / "mended_libraries.py"
MOST_CAUSES = 5  # of a pair, in the table
RESULTS = ROOT / "docs" / "results" / "libraries"  # .csv and .md


@dataclass(frozen=True)
class Pair:
    """One architecture: its name in torchvision and, where it differs, in paddle.vision."""

    family: str
    torch: str
    paddle: str = ""
    torch_args: str | None = None  # an argument to be False
    paddle_args: str | None = None  # an argument to be True
    mended: bool = False  # Paddle's is taken from examples/mended_libraries.py
    size: int = 224  # pixels
    second_size: int = 156


PAIRS = [
    Pair("AlexNet", "alexnet"),
    Pair("AlexNet", "alexnet", mended=True),
    Pair("VGG", "vgg11"),
    Pair("VGG", "vgg11_bn", "vgg11", paddle_args="batch_norm"),
    Pair("VGG", "vgg13"),
    Pair("VGG", "vgg16"),
    Pair("VGG", "vgg19"),
    Pair("ResNet", "resnet18"),
    Pair("ResNet", "resnet34"),
    Pair("ResNet", "resnet50"),
    Pair("ResNet", "resnet101"),
    Pair("ResNet", "resnet152"),
    Pair("Wide ResNet", "wide_resnet50_2"),
    Pair("Wide ResNet", "wide_resnet101_2"),
    Pair("ResNeXt", "resnext50_32x4d"),
    Pair("ResNeXt", "resnext101_64x4d"),
    Pair("MobileNet V2", "mobilenet_v2"),
    Pair("MobileNet V3", "mobilenet_v3_small"),
    Pair("MobileNet V3", "mobilenet_v3_large"),
    Pair("DenseNet", "densenet121"),
    Pair("DenseNet", "densenet161"),
    Pair("DenseNet", "densenet169"),
    Pair("DenseNet", "densenet201"),
    Pair("SqueezeNet", "squeezenet1_0"),
    Pair("SqueezeNet", "squeezenet1_1"),
    Pair("SqueezeNet", "squeezenet1_0", mended=True),
    Pair("SqueezeNet", "squeezenet1_1", mended=True),
    Pair("ShuffleNet V2", "shufflenet_v2_x0_5"),
    Pair("ShuffleNet V2", "shufflenet_v2_x1_0"),
    Pair("ShuffleNet V2", "shufflenet_v2_x1_5"),
    Pair("ShuffleNet V2", "shufflenet_v2_x2_0"),
    Pair("GoogLeNet", "googlenet", torch_args="init_weights"),
    Pair("Inception V3", "inception_v3", torch_args="init_weights", size=299, second_size=267),
    Pair(
        "Inception V3",
        "inception_v3",
        torch_args="aux_logits",
        mended=True,
        size=299,
        second_size=267,
    ),
]


def title(pair: Pair) -> str:
    """Return the name of a pair in the table."""
    return f"{pair.torch}, mended" if pair.mended else pair.torch


@dataclass(frozen=True)
class Outcome:
    """One row of the table. Differences are relative to the layer's largest number."""

    family: str
    network: str
    parameters: int
    transferred: str  # yes, or what could not be
    verdict: str  # same, differs
    float64: float | None
    float32: float | None
    what: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    chosen = [pair for pair in PAIRS if not args.only or pair.torch in args.only]
    outcomes = {} if args.only is None else read(args.out)
    for pair in chosen:
        with kept_running():
            outcome = compare(pair, args.batch_size)
        outcomes[title(pair)] = outcome
        print(f"{outcome.network:22}{outcome.verdict:10}{outcome.what}", flush=True)
        write(args.out, [outcomes[title(p)] for p in PAIRS if title(p) in outcomes])
    return 0 if all(outcomes[title(pair)].verdict == "same" for pair in chosen) else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="compare_libraries.py", description=__doc__)
    names = [pair.torch for pair in PAIRS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these alone")
    parser.add_argument("--batch-size", type=int, default=2, metavar="N", help="images (2)")
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS,
        metavar="STEM",
        help=f"writes STEM.csv and STEM.md ({RESULTS.relative_to(ROOT)})",
    )
    return parser.parse_args(argv)


def compare(pair: Pair, batch_size: int) -> Outcome:
    """Compare one pair of networks with weights drawn from seed 0."""
    sides = {}
    for framework, library in (("torch", "torchvision"), ("paddle", "paddle.vision")):
        name = (pair.paddle or pair.torch) if framework == "paddle" else pair.torch
        option = pair.torch_args if framework == "torch" else pair.paddle_args
        arguments = {} if option is None else {option: framework == "paddle"}
        where = f"{library}.models"
        if pair.mended and framework == "paddle":
            where = str(MENDED)
        model = {"name": f"{where}:{name}", "arguments": arguments}
        sides[framework] = Side(framework, None, model)
    sizes = (pair.size, pair.second_size)
    inputs = Inputs(None, "float32", batch_size, sizes, None, seed=0)
    try:
        with scratch() as folder:
            found = forward.compare(sides, folder, inputs)
    except UserError as error:
        return Outcome(pair.family, title(pair), 0, "no", "differs", None, None, str(error))
    alone = [cause for cause in found.causes if "counterpart" in cause.cause]
    stops = [cause for cause in found.causes if alone and "stops after" in cause.cause]
    causes = [cause for cause in found.causes if cause not in alone + stops]
    told = [f"`{cause.where}`: {cause.cause}" for cause in [*alone[:1], *causes][:MOST_CAUSES]]
    told += [f"{len(alone) - 1} more tensors have none"] if alone[1:] else []
    told += [note for note in found.notes if "add up" in note][:1] if found.aligned else []
    return Outcome(
        pair.family,
        title(pair),
        found.parameters,
        f"all but {len(alone)} tensors" if alone else "yes",
        "same" if found.aligned else "differs",
        forward_report.worst(found, "float64"),
        forward_report.worst(found, "float32"),
        "; ".join(told),
    )


def read(stem: Path) -> dict[str, Outcome]:
    """Return the rows of an earlier table by the network's name."""
    file = stem.with_suffix(".csv")
    if not file.exists():
        return {}
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        row["parameters"] = int(row["parameters"])
        row |= {name: float(row[name]) if row[name] else None for name in ("float64", "float32")}
    return {row["network"]: Outcome(**row) for row in rows}


def write(stem: Path, outcomes: list[Outcome]) -> None:
    """Write the table as CSV and as a page, each atomically."""
    names = [field.name for field in fields(Outcome)]
    write_csv(stem.with_suffix(".csv"), names, map(asdict, outcomes))
    markdown.write(stem.with_suffix(".md"), page(outcomes))


def page(outcomes: list[Outcome]) -> str:
    """Return the table in Markdown, with how it was made."""
    proved = [one for one in outcomes if one.verdict == "same"]
    same = dict.fromkeys(one.family for one in proved if "mended" not in one.network)
    mended = dict.fromkeys(one.family for one in proved if one.family not in same)
    template = Path(__file__).with_name("libraries.md.j2")
    return markdown.render(template, outcomes=outcomes, same=same, mended=mended, made_on=made_on())


if __name__ == "__main__":
    errors.run(main)
