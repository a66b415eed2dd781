"""AlexNet layer by layer: shapes, parameters, operations, counted and drawn. No framework needed.

    python -m course.architecture                          # print the tables as Markdown
    python -m course.architecture --draw docs/images       # and write the figures there

Two networks: that of the paper (2012), whose layers 2, 4 and 5 are halved over two GPUs, and the
one that both trees train ("One weird trick", 2014).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.networks import ALEXNET, Counted, Layer, count
from common.training import plots
from portproof.system import errors
from portproof.system.command_line import Parser

PAPER = (  # section 3.5; its sizes need images of 227 pixels
    Layer("conv1", "conv", 96, 11, 4),
    Layer("pool1", "pool", 0, 3, 2),
    Layer("conv2", "conv", 256, 5, 1, 2, groups=2),
    Layer("pool2", "pool", 0, 3, 2),
    Layer("conv3", "conv", 384, 3, 1, 1),
    Layer("conv4", "conv", 384, 3, 1, 1, groups=2),
    Layer("conv5", "conv", 256, 3, 1, 1, groups=2),
    Layer("pool5", "pool", 0, 3, 2),
    Layer("fc6", "linear", 4096),
    Layer("fc7", "linear", 4096),
    Layer("fc8", "linear", 1000),
)
NETWORKS = {
    "paper": ("the paper's network, two GPUs", PAPER, 227),
    "trees": ("the network of the trees", ALEXNET, 224),
}
COLORS = {"input": "#8d99ae", "conv": "#2a9d8f", "pool": "#e9c46a", "linear": "#e76f51"}


def table(counted: list[Counted], pixels: int) -> str:
    """Return the layers as a Markdown table, with their sums."""
    lines = [
        "| layer | kernel, stride, padding | output | neurons | parameters | multiply-adds |",
        "|---|---|---|--:|--:|--:|",
        f"| input | | 3 x {pixels} x {pixels} | | | |",
    ]
    for row in counted:
        layer = row.layer
        halves = ", in 2 halves" if layer.groups == 2 else ""
        window = f"{layer.size} x {layer.size}, {layer.stride}, {layer.padding}{halves}"
        cells = [layer.name, window if layer.size else "", " x ".join(map(str, row.shape))]
        numbers = (row.neurons, row.parameters, row.operations)
        cells += [f"{number:,}" if number else "" for number in numbers]
        lines.append(f"| {' | '.join(cells)} |")
    sums = " | ".join(f"{number:,}" for number in totals(counted))
    return "\n".join([*lines, f"| **sum** | | | {sums} |"])


def totals(counted: list[Counted]) -> tuple[int, ...]:
    """Return how many neurons, parameters and multiply-adds there are in all."""
    numbers = [(row.neurons, row.parameters, row.operations) for row in counted]
    return tuple(map(sum, zip(*numbers, strict=True)))


def claims() -> str:
    """Return what sources say of the paper's network beside what is counted, as Markdown."""
    paper = count(PAPER, 227)
    unpadded = count(PAPER[:1], 224)[0].shape[1]
    one_gpu = count([replace(layer, groups=1) for layer in PAPER], 227)
    neurons, parameters, _ = totals(paper)
    caption = (253_440, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000)
    rows = [
        ("60 million parameters", "abstract", f"{parameters:,}", "right, rounded"),
        (
            "650,000 neurons",
            "abstract",
            f"{neurons:,}",
            f"wrong: rounded it is 660,000; the numbers of figure 2 add up to {sum(caption):,}",
        ),
        (
            f"neurons, layer by layer: {', '.join(f'{number:,}' for number in caption)}",
            "caption of figure 2",
            ", ".join(f"{row.neurons:,}" for row in paper if row.neurons),
            "the first is wrong: 55 x 55 x 96 is 290,400, and 253,440 is 55 x 48 x 96",
        ),
        (
            "input 224 x 224",
            "figure 2, section 3.5",
            f"conv1 makes {unpadded} x {unpadded} of 224 pixels, and 55 x 55 of 227",
            "does not fit 55 x 55 without a padding that the paper does not state",
        ),
        (
            "input 150,528 neurons",
            "caption of figure 2",
            f"3 x 224 x 224 = {3 * 224 * 224:,}; 3 x 227 x 227 = {3 * 227 * 227:,}",
            "right for 224 pixels",
        ),
        (
            "62.4 million parameters",
            "many summaries",
            f"{totals(one_gpu)[1]:,} without the halves, {parameters:,} with them",
            "right for one GPU's network, which is not the paper's",
        ),
    ]
    lines = ["| said | where | counted | verdict |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def draw(name: str, path: Path) -> None:
    """Draw each layer's output as a slab, its share of parameters and operations below, as PNG."""
    title, layers, pixels = NETWORKS[name]
    counted = count(layers, pixels)
    figure = plots.new_figure(12.5, 6.6)
    _, parameters, operations = totals(counted)
    millions = f"{operations / 1e6:,.0f} million multiply-adds"
    figure.suptitle(f"AlexNet, {title}: {parameters:,} parameters, {millions}")
    slabs, bars = figure.subplots(2, 1, height_ratios=(3, 2))
    draw_slabs(slabs, counted, pixels)
    draw_shares(bars, counted)
    plots.save(figure, path, {"Software": None})


def draw_slabs(axes, counted: list[Counted], pixels: int) -> None:
    """Draw outputs as boxes: as high as they are wide in pixels, as thick as they have channels."""
    from matplotlib.patches import Polygon

    rows = [Counted(Layer("input", "input"), (), (), (3, pixels, pixels)), *counted]
    for position, row in enumerate(rows):
        layer, shape = row.layer, row.shape
        stride = f" / {layer.stride}" if layer.stride > 1 else ""
        window = f"{layer.size} x {layer.size}{stride}" if layer.size else ""
        wide = len(shape) == 3
        height = math.sqrt(shape[1] / pixels) * 3 if wide else shape[0] / 4096 * 2.4 + 0.3
        depth = 0.12 + shape[0] / 4096 * 4 if wide else 0.12
        x, lean = position - depth / 2, height * 0.16 if wide else 0.06
        low, high = -height / 2, height / 2
        color, right = COLORS[layer.kind], x + depth
        faces = (
            [(x, low), (right, low), (right, high), (x, high)],
            [(x, high), (right, high), (right + lean, high + lean), (x + lean, high + lean)],
            [(right, low), (right, high), (right + lean, high + lean), (right + lean, low + lean)],
        )
        for face, alpha in zip(faces, (0.95, 0.75, 0.55), strict=True):
            axes.add_patch(Polygon(face, facecolor=color, edgecolor="white", alpha=alpha, lw=0.8))
        label = f"{layer.name}\n{' x '.join(map(str, shape))}\n{window}"
        axes.text(position, -2.1, label, ha="center", va="top", fontsize=8)
    axes.set(xlim=(-0.6, len(rows) - 0.2), ylim=(-3.2, 2.2))
    axes.set_axis_off()


def draw_shares(axes, counted: list[Counted]) -> None:
    """Draw each layer's share of all parameters and of all multiply-adds, in per cent."""
    rows = [row for row in counted if row.parameters]
    places = np.arange(len(rows))
    for left, color, label, numbers in (
        (0, "#264653", "parameters", [row.parameters for row in rows]),
        (0.4, "#f4a261", "multiply-adds", [row.operations for row in rows]),
    ):
        shares = 100 * np.array(numbers) / sum(numbers)
        label = f"share of all {label} (%)"
        bars = axes.bar(places + left, shares, width=0.38, color=color, label=label)
        axes.bar_label(bars, [f"{share:.1f}" for share in shares], fontsize=8)
    axes.set_xticks(places + 0.2, [row.layer.name for row in rows])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m course.architecture", description=__doc__)
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write architecture-*.png there")
    parser.add_argument("--only", choices=[*NETWORKS, "claims"], help="one table alone")
    args = parser.parse_args(argv)
    for name, (title, layers, pixels) in NETWORKS.items():
        if args.only in (None, name):
            print(f"{title[0].upper()}{title[1:]}:\n\n{table(count(layers, pixels), pixels)}\n")
        if args.draw:
            args.draw.mkdir(parents=True, exist_ok=True)
            draw(name, args.draw / f"architecture-{name}.png")
    if args.only in (None, "claims"):
        print(f"What sources say of the paper's network:\n\n{claims()}")


if __name__ == "__main__":
    errors.run(main)
