"""Compare the networks that torchvision and paddle.vision both ship: is each pair the same network?

    python tools/compare_libraries.py                       # all; writes docs/results/libraries.*
    python tools/compare_libraries.py --only resnet18 vgg11_bn

For each pair the weights of one are carried over to the other, and the forward passes compared in
float64 and float32, layer by layer, as tools/compare_forward.py does. Exit status: 0 all the same,
1 some differ, 2 wrong usage.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.paths import ROOT
from common.tables import read_csv
from experiments import pages
from portproof.checks import forward
from portproof.cli.options import add_number
from portproof.core.findings import Cause
from portproof.core.inputs import Inputs
from portproof.report import forward as forward_report
from portproof.system import errors
from portproof.system.command_line import Parser, add_option
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
    torch_arguments: dict[str, bool] = field(default_factory=dict)
    paddle_arguments: dict[str, bool] = field(default_factory=dict)
    mended: bool = False  # Paddle's is taken from examples/mended_libraries.py
    sizes: tuple[int, int] = (224, 156)  # pixels

    @property
    def title(self) -> str:
        """The name in the table."""
        return f"{self.torch}, mended" if self.mended else self.torch


def alike(family: str, *names: str) -> list[Pair]:
    """Return pairs that have the same name in both libraries."""
    return [Pair(family, name) for name in names]


def inception(mended: bool, **arguments: bool) -> Pair:
    name = "inception_v3"
    return Pair("Inception V3", name, torch_arguments=arguments, mended=mended, sizes=(299, 267))


PAIRS = [
    Pair("AlexNet", "alexnet"),
    Pair("AlexNet", "alexnet", mended=True),
    Pair("VGG", "vgg11"),
    Pair("VGG", "vgg11_bn", "vgg11", paddle_arguments={"batch_norm": True}),
    *alike("VGG", "vgg13", "vgg16", "vgg19"),
    *alike("ResNet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *alike("Wide ResNet", "wide_resnet50_2", "wide_resnet101_2"),
    *alike("ResNeXt", "resnext50_32x4d", "resnext101_64x4d"),
    *alike("MobileNet V2", "mobilenet_v2"),
    *alike("MobileNet V3", "mobilenet_v3_small", "mobilenet_v3_large"),
    *alike("DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"),
    *alike("SqueezeNet", "squeezenet1_0", "squeezenet1_1"),
    Pair("SqueezeNet", "squeezenet1_0", mended=True),
    Pair("SqueezeNet", "squeezenet1_1", mended=True),
    *alike("ShuffleNet V2", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    *alike("ShuffleNet V2", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    Pair("GoogLeNet", "googlenet", torch_arguments={"init_weights": False}),
    inception(mended=False, init_weights=False),
    inception(mended=True, aux_logits=False),
]


@dataclass(frozen=True)
class Outcome:
    """One row of the table. Differences are relative to the layer's largest number."""

    family: str
    network: str
    parameters: int = 0
    transferred: str = "no"  # or yes, or what could not be
    verdict: str = "differs"  # or same
    float64: float | None = None
    float32: float | None = None
    what: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    chosen = [pair for pair in PAIRS if not args.only or pair.torch in args.only]
    outcomes = {} if args.only is None else read(args.out)
    for pair in chosen:
        with kept_running():
            outcome = compare(pair, args.batch_size)
        outcomes[pair.title] = outcome
        print(f"{outcome.network:22}{outcome.verdict:10}{outcome.what}", flush=True)
        write(args.out, [outcomes[p.title] for p in PAIRS if p.title in outcomes])
    return 0 if all(outcomes[pair.title].verdict == "same" for pair in chosen) else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="compare_libraries.py", description=__doc__)
    names = [pair.torch for pair in PAIRS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these alone")
    add_number(parser, "--batch-size", "images", 2)
    text = f"writes STEM.csv and STEM.md ({RESULTS.relative_to(ROOT)})"
    add_option(parser, "--out", text, Path, "STEM", RESULTS)
    return parser.parse_args(argv)


def compare(pair: Pair, batch_size: int) -> Outcome:
    """Compare one pair of networks with weights drawn from seed 0."""
    library = MENDED if pair.mended else "paddle.vision.models"
    made = {
        "torch": (f"torchvision.models:{pair.torch}", pair.torch_arguments),
        "paddle": (f"{library}:{pair.paddle or pair.torch}", pair.paddle_arguments),
    }
    sides = {
        framework: Side(framework, None, {"name": name, "arguments": arguments})
        for framework, (name, arguments) in made.items()
    }
    inputs = Inputs(None, "float32", batch_size, pair.sizes, None, seed=0)
    try:
        with scratch() as folder:
            comparison = forward.compare(sides, folder, inputs)
    except UserError as error:
        return Outcome(pair.family, pair.title, what=str(error))
    alone = [cause for cause in comparison.causes if "counterpart" in cause.cause]
    return Outcome(
        pair.family,
        pair.title,
        comparison.same_parameters,
        f"all but {len(alone)} tensors" if alone else "yes",
        "same" if comparison.aligned else "differs",
        forward_report.worst(comparison, "float64"),
        forward_report.worst(comparison, "float32"),
        "; ".join(remarks(comparison, alone)),
    )


def remarks(comparison: forward.Result, alone: list[Cause]) -> list[str]:
    """Return what differs; `alone` are the causes that name a tensor without a counterpart."""
    if comparison.aligned:
        return [note for note in comparison.notes if "add up" in note][:1]
    causes = [cause for cause in comparison.causes if cause not in alone]
    if alone:
        causes = [cause for cause in causes if "stops after" not in cause.cause]
    causes = [*alone[:1], *causes][:MOST_CAUSES]
    more = [f"{len(alone) - 1} more tensors have none"] if alone[1:] else []
    return [f"`{cause.where}`: {cause.cause}" for cause in causes] + more


def read(stem: Path) -> dict[str, Outcome]:
    """Return the rows of an earlier table by the network's name."""
    rows = read_csv(stem.with_suffix(".csv"))
    for row in rows:
        row["parameters"] = int(row["parameters"])
        row |= {name: float(row[name]) if row[name] else None for name in ("float64", "float32")}
    return {row["network"]: Outcome(**row) for row in rows}


def write(stem: Path, outcomes: list[Outcome]) -> None:
    """Write the table as CSV and as a page with the families that are proved equal."""
    proved = [outcome for outcome in outcomes if outcome.verdict == "same"]
    same = dict.fromkeys(outcome.family for outcome in proved if "mended" not in outcome.network)
    mended = dict.fromkeys(outcome.family for outcome in proved if outcome.family not in same)
    pages.write_table(stem, "libraries", outcomes, same=same, mended=mended)


if __name__ == "__main__":
    errors.run(main)
