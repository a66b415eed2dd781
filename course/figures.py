"""Draw the figures of chapters 3, 5, 6, 10 and 11 from what the trees and the tools do.

    python -m course.figures docs/images
    python -m course.figures docs/images --only learning-rates

The forward pass is compared on small copies of the trees: see course/plant.py.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from common.paths import ROOT
from common.tables import read_csv
from common.training import plots
from course import plant
from portproof.system import errors
from portproof.system.command_line import Parser
from portproof.system.frameworks import FRAMEWORKS

FAULT = "#b3261e"
COLORS = {"torch": "#ee4c2c", "paddle": "#2f6bff", "float64": "#14632b", "float32": "#e0a100"}
EPOCHS, STEPS = 90, 4  # of the drawn schedules: epochs, and steps of an epoch
SAMPLE_EPOCHS = 7
LEAST = 1e-17  # what is drawn for no difference at all


def run(words: list, path: str = str(ROOT)) -> str:
    """Run Python with these words; return what it prints. Raises UserError where it fails."""
    command, environment = [sys.executable, *map(str, words)], os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise errors.UserError(f"{words[0]}: {done.stderr or done.stdout}; mend that first")
    return done.stdout


def draw_forward(axes) -> None:
    """Draw the difference of each layer's output, in both kinds of numbers."""
    words = [ROOT / "tools" / "compare_forward.py", "--image-size", 96, "--second-image-size", 0]
    with tempfile.TemporaryDirectory() as name:
        desk = Path(name)
        plant.plant("right", desk)
        for framework in FRAMEWORKS:
            words += [f"--{framework}-tree", desk / f"AlexNet-{framework}"]
        run([*words, "--json", desk / "report.json"])
        layers = json.loads((desk / "report.json").read_text())["inputs"][0]["layers"]
    for name in ("float64", "float32"):
        values = [max(layer[name]["relative"], LEAST) for layer in layers]
        axes.semilogy(range(len(layers)), values, "o-", color=COLORS[name], label=name)
    axes.axhspan(1e-7, 1, color=FAULT, alpha=0.08)
    axes.text(0, 3e-2, "faults, in float64", color=FAULT)
    names = [layer["name"] for layer in layers]
    axes.set_xticks(range(len(layers)), names, rotation=60, ha="right", fontsize=8)
    axes.set(ylim=(1e-16, 1), ylabel="largest relative difference")
    axes.legend()


def draw_softmax(axes) -> None:
    """Draw the loss of 10 classes as the right one's logit grows, with one softmax and with two."""
    logit = np.linspace(-6, 14, 200)
    once = np.exp(logit) / (np.exp(logit) + 9)  # the right class; the other logits are 0
    rest = (1 - once) / 9  # of each other class
    twice = np.exp(once) / (np.exp(once) + 9 * np.exp(rest))
    axes.plot(logit, -np.log(once), color=COLORS["float64"], label="cross entropy of logits")
    axes.plot(logit, -np.log(twice), color=FAULT, label="softmax twice")
    axes.axhline(np.log(10), color="#888888", linestyle=":", label="log(10): it knows nothing")
    axes.set(xlabel="logit of the right class, the other nine at 0", ylabel="loss")
    axes.legend()


def draw_rates(axes) -> None:
    """Draw the learning rate that each tree's optimizer uses, for two recipes."""
    recipes = {
        "imagenet": ["--recipe", "imagenet", "--data-path", ROOT, "--epochs", EPOCHS],
        "sample": ["--recipe", "sample", "--epochs", SAMPLE_EPOCHS],
    }
    right = axes.twiny()
    for panel, (name, options) in zip((axes, right), recipes.items(), strict=True):
        for framework, style, width in (("torch", "-", 4), ("paddle", "--", 1.6)):
            rates = read_rates(framework, options)
            epochs = np.arange(len(rates)) / STEPS
            (line,) = panel.plot(epochs, rates, style, color=COLORS[framework], alpha=0.7)
            line.set(linewidth=width, label=f"{name}, {framework}")
        panel.set_xlabel(f"epoch of recipe {name}")
    axes.set(ylabel="learning rate of one process", yscale="log")
    handles = [line for panel in (axes, right) for line in panel.get_lines()]
    axes.legend(handles=handles)


# Prints the learning rate of a tree at each step, as JSON: FRAMEWORK STEPS-AN-EPOCH, options.
RATES = """
import importlib, json, sys
import optim
from common.training.args import parse

framework, steps_per_epoch, *options = sys.argv[1:]
nn = importlib.import_module(f"{framework}.nn")
args = parse(framework, options)
optimizer, scheduler = optim.build(nn.Linear(2, 2), args, int(steps_per_epoch))
rates = []
for _ in range(args.epochs * int(steps_per_epoch)):
    rates.append(optim.current_lr(optimizer))
    optimizer.step()
    scheduler.step()
print(json.dumps(rates))
"""


def read_rates(framework: str, options: list) -> np.ndarray:
    """Return the learning rate of a tree at each step, as its optimizer has it."""
    path = os.pathsep.join(map(str, (ROOT / f"AlexNet-{framework}", ROOT)))
    printed = run(["-c", RATES, framework, STEPS, *options], path)
    return np.array(json.loads(printed.splitlines()[-1]))


def draw_converters(axes) -> None:
    """Draw how many lines each way of porting changes, as tools/convert_table.py counted them."""
    rows = read_csv(ROOT / "docs/results/convert.csv")[::-1]  # the first one on top
    names = [row["way"].replace("`", "") for row in rows]
    left = np.zeros(len(rows))
    for column, label, color, position, ink in (
        ("lines_by_converter", "by the converter", COLORS["float64"], "center", "white"),
        ("lines_by_rules", "by the rules after it", COLORS["float32"], "center", "white"),
        ("lines_by_hand", "by hand", FAULT, "edge", "black"),
    ):
        lines = np.array([int(row[column]) for row in rows])
        bars = axes.barh(names, lines, left=left, color=color, label=label)
        texts = [str(n) if n else "" for n in lines]
        axes.bar_label(bars, texts, label_type=position, color=ink, padding=3)
        left += lines
    axes.set(xlabel="lines changed", xlim=(0, 1.25 * left.max()))  # room for the legend
    axes.legend()


def draw_block(axes) -> None:
    """Draw a block of the homework's network: two convolutions beside a shortcut."""
    steps = ("x", "conv1\n3 x 3", "bn1", "ReLU", "conv2\n3 x 3", "bn2", "+", "ReLU", "y")
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#dcebe6", "edgecolor": COLORS["float64"]}
    for x, text in enumerate(steps):
        axes.text(x, 0, text, ha="center", va="center", bbox=box)
        if x:
            arrow(axes, (x - 0.72, 0), (x - 0.28, 0))
    arrow(axes, (0, 0.25), (steps.index("+"), 0.25), bend="arc,angleA=90,angleB=90,armA=42,armB=42")
    shortcut = "shortcut: x as it is; a convolution of 1 x 1 and bn where size or channels change"
    axes.text(steps.index("+") / 2, 1, shortcut, ha="center")
    axes.set(xlim=(-0.5, len(steps) - 0.5), ylim=(-0.4, 1.2))
    axes.set_axis_off()


def arrow(axes, start: tuple[float, float], end: tuple[float, float], bend: str = "arc3") -> None:
    """Draw an arrow between two points."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "connectionstyle": bend})


IMAGES: dict[str, tuple[Callable, float]] = {  # and the height in inches
    "forward-layers": (draw_forward, 4),
    "softmax-twice": (draw_softmax, 4),
    "learning-rates": (draw_rates, 4),
    "converters": (draw_converters, 2.6),
    "residual-block": (draw_block, 2.2),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m course.figures", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where they are written")
    parser.add_argument("--only", choices=IMAGES, help="this one alone")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, height) in IMAGES.items():
        if args.only in (None, name):
            figure = plots.new_figure(9, height)
            axes = figure.subplots()
            draw(axes)
            axes.grid(alpha=0.3)
            plots.save(figure, args.folder / f"{name}.png", {"Software": None})


if __name__ == "__main__":
    errors.run(main)
