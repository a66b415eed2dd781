"""The loss curves of both frameworks from the same start on the same stream: where do they part?

    python -m experiments.curves                              # the embedded sample
    python -m experiments.curves --dataset cifar10 --steps 400

Each tree's own main() trains from the same weights on the same batches with the same units dropped,
in float32 and in float64, in one thread. So that one can see what parting means, each framework
also trains once more in float32 from weights of which one differs in its last bit: what parts a
framework from itself is rounding, and no fault.

The rate is that of the recipe, scaled by the square root of the batch, and constant: PaddlePaddle
keeps it as float32, in which a schedule's rates are other ones than in float64. Hyperparameters are
rounded to float32 for the same reason.

Writes curves.csv (every loss), curves.png and curves.md. What has been trained is kept and not
trained again. Exit status: 0; 1 where they part in float64 too, so by more than rounding; 2 wrong
usage or bad input.
"""

import argparse
import csv
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common import networks
from common.data import folder, public_data
from common.networks import LARGEST_IMAGE, SMALLEST_IMAGE
from common.paths import RUNS_DIR
from common.training.recipes import RECIPES, Recipe
from experiments import curve_plot, parting
from experiments.collected import made_on
from portproof.cli.project import add_ports, sides
from portproof.core.training_pair import Request, TrainingPair, exact
from portproof.report import markdown
from portproof.system import errors
from portproof.system.atomic import replace_atomically
from portproof.system.command_line import LARGEST_SEED, Parser, whole
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.weights import tensors
from portproof.worker.cache import Records
from portproof.worker.client import scratch
from tools.project import PROJECT

STEPS, FLOAT64_STEPS = 400, 150  # float64 takes three times as long
BATCH = 32
FLIPPED = "float32, one bit"  # weights of which one differs in its last bit
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # the same sums in the same order
DTYPE = {"float32": "float32", "float64": "float64", FLIPPED: "float32"}  # of each pair of series
# What the page's command says of the options.
SHOWN = ("recipe", "steps", "float64_steps", "control_steps", "batch_size", "image_size", "seed")
DOUBLES = (
    "in how many steps the difference does, where a line through its logarithm, from above the "
    f"rounding of one loss to the parting, explains {parting.CLEAN:.0%} of it or more."
)


@dataclass(frozen=True)
class Pair:
    """Two series of losses that are held against each other."""

    name: str  # of its column
    title: str
    dtype: str
    own: np.ndarray  # [steps], float64
    theirs: np.ndarray  # [steps], float64
    difference: np.ndarray = field(init=False)  # relative, [steps]

    def __post_init__(self) -> None:
        object.__setattr__(self, "difference", parting.relative(self.own, self.theirs))


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    data_path = public_data.locate(args)
    images, _ = folder.index_data(data_path)
    make_folder(args.output)
    with scratch() as place:
        losses = train_all(args, data_path, place)
    pairs = hold_together(losses)
    write_losses(args.output / "curves.csv", losses, pairs)
    recipe = f"recipe {args.recipe}, {args.image_size} pixels, batch {args.batch_size}"
    curve_plot.draw(args.output / "curves.png", pairs, recipe)
    table = "\n".join(as_table(pairs))
    print(table)
    by_name = {pair.name: pair.difference for pair in pairs}
    is_fault = parting.is_fault(by_name["float32"], by_name["float64"])
    verdict = (
        "In float64 they differ as early as in float32: that is no rounding but a fault; "
        "tools/compare_training.py tells where it is."
        if is_fault
        else "Where they part, rounding parts them: float64 stays together for longer."
    )
    data = f"{len(images):,} images of {len(images.classes)} classes to train on"
    write_page(args.output / "curves.md", args, table, verdict, data)
    print(verdict)
    print(f"look at: {args.output / 'curves.png'}, {args.output / 'curves.md'}")
    return int(is_fault)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="experiments.curves", description=__doc__)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--data-path", type=Path, metavar="DIR", help="images, DIR/train and DIR/val (the sample)"
    )
    data.add_argument(
        "--dataset", choices=sorted(public_data.SIZES), help="a public data set, fetched once"
    )
    parser.add_argument(
        "--recipe", choices=sorted(RECIPES), help="hyperparameters (that of the data, or sample)"
    )
    parser.add_argument(
        "--steps", type=whole(2, 1000), default=STEPS, metavar="N", help=f"in float32 ({STEPS})"
    )
    parser.add_argument(
        "--float64-steps",
        type=whole(2, 1000),
        metavar="N",
        help=f"in float64, which takes three times as long ({FLOAT64_STEPS}, or --steps if fewer)",
    )
    parser.add_argument(
        "--control-steps",
        type=whole(2, 1000),
        metavar="N",
        help="of each framework against itself, in float32 (as many as --steps)",
    )
    parser.add_argument(
        "--batch-size", type=whole(1), default=BATCH, metavar="N", help=f"images ({BATCH})"
    )
    parser.add_argument(
        "--image-size",
        type=whole(SMALLEST_IMAGE, LARGEST_IMAGE),
        metavar="PIXELS",
        help="(recipe)",
    )
    parser.add_argument(
        "--seed",
        type=whole(0, LARGEST_SEED),
        default=0,
        metavar="N",
        help="of weights, order, crops and dropout (0)",
    )
    add_ports(parser, PROJECT)
    parser.add_argument(
        "--output", type=Path, default=RUNS_DIR / "curves", metavar="DIR", help="(runs/curves)"
    )
    args = parser.parse_args(argv)
    if args.data_path is not None and not args.data_path.is_dir():
        parser.error(f"--data-path {args.data_path}: there is no such folder")
    if args.float64_steps is None:
        args.float64_steps = min(FLOAT64_STEPS, args.steps)
    if args.control_steps is None:
        args.control_steps = args.steps
    for name in ("float64_steps", "control_steps"):
        if getattr(args, name) > args.steps:
            option = f"--{name.replace('_', '-')} {getattr(args, name)}"
            parser.error(f"{option} is more than --steps {args.steps}")
    args.recipe = args.recipe or (args.dataset if args.dataset in RECIPES else "sample")
    recipe = RECIPES[args.recipe]
    smallest = networks.SMALLEST[recipe.model]
    args.image_size = args.image_size or recipe.image_size
    if args.image_size < smallest:
        parser.error(f"--image-size {args.image_size}: {recipe.model} needs {smallest} or more")
    return args


def make_folder(path: Path) -> None:
    """Make the folder of the results. Raises UserError where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {path}: cannot be made ({error.strerror})") from error


def train_all(
    args: argparse.Namespace, data_path: Path, place: Path
) -> dict[tuple[str, str], np.ndarray]:
    """Train every series, or find it as it was trained before.

    Returns the loss of each step, [steps], by framework and by float32, float64 or FLIPPED. Raises
    UserError where a tree cannot be run, and where the two read other batches.
    """
    recipe = RECIPES[args.recipe]
    ports = sides(args, PROJECT)
    pair = TrainingPair(
        {name: replace(side, environment=ONE_THREAD) for name, side in ports.items()},
        place / "pair",
        args.seed,
        None,
        data_path,
        args.image_size,
        args.batch_size,
        recipe.model,
        records=Records(PROJECT.records),
    )
    pair.folder.mkdir()
    settings = settings_of(args.recipe, recipe, args.batch_size, args.steps)
    print("the same weights for both ...", flush=True)
    pair.prepare()
    flip_last_bit(pair)
    with progress(pair, "reading batches", args.steps, "images-*.npy"):
        batches = pair.shared_batches(args.steps, settings)
    if batches is None:
        raise UserError("the trees read other batches; tools/compare_data.py tells which and why")
    losses = {}
    all_steps = (args.steps, args.float64_steps, args.control_steps)
    for (weights, dtype), steps in zip(DTYPE.items(), all_steps, strict=True):
        with progress(pair, weights, steps, "logits-*.npy"):
            plan = {"steps": steps, "seed": args.seed, "kinds": []}
            recording = {"dtype": dtype, "batches": batches, "plan": plan}
            reports = pair.ask(Request("training", settings, weights, recording))
        for name, report in reports.items():
            losses[name, weights] = np.array([row["loss"] for row in report["rows"]])
    return losses


def settings_of(name: str, recipe: Recipe, batch_size: int, steps: int) -> dict[str, Any]:
    """Return the settings of a port: the recipe at a constant rate, for batches of this size."""
    # By the square root of the batch: "One weird trick", https://arxiv.org/abs/1404.5997
    rate = recipe.lr / recipe.gpus * (batch_size / recipe.batch_size) ** 0.5
    return {
        "recipe": name,
        "dropout": recipe.dropout,
        "lr": exact(rate),
        "momentum": exact(recipe.momentum),
        "weight_decay": exact(recipe.weight_decay),
        "gpus": 1,
        "schedule": "step",
        "lr_step_size": steps + 1,
        "warmup_epochs": 0,
        "epochs": steps + 1,  # a step is at most an epoch
    }


def flip_last_bit(pair: TrainingPair) -> None:
    """Write the float32 weights of each side again, with another last bit in the very first one."""
    for name in FRAMEWORKS:
        source = pair.files[name, "float32"]
        target = source.with_name(f"{source.stem}-flipped.safetensors")
        if not target.exists():  # both may have the same file
            weights = tensors.read(source)
            first = next(iter(weights))
            array = np.array(weights[first].array)
            array.view(np.uint32).reshape(-1)[0] ^= 1
            tensors.write(target, weights | {first: tensors.from_array(array)})
        pair.files[name, FLIPPED] = target


@contextmanager
def progress(pair: TrainingPair, what: str, steps: int, files: str) -> Iterator[None]:
    """Show how far both sides are with what is asked within: each step leaves a file of that name.

    One line at the end; a bar while it runs, where a person looks.
    """
    start, over = time.perf_counter(), threading.Event()
    asked = f"{pair.requests + 1}-*"
    bar = tqdm(total=steps * len(FRAMEWORKS), desc=what, unit="step", disable=None, leave=False)

    def watch() -> None:
        while not over.wait(1.0):
            bar.update(sum(1 for _ in pair.folder.glob(f"{asked}/*/{files}")) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        bar.close()
    print(f"{what}: {steps} steps, {time.perf_counter() - start:.0f} s", flush=True)


def hold_together(losses: dict[tuple[str, str], np.ndarray]) -> list[Pair]:
    """Return the pairs that say something: both frameworks, and each with its own changed start."""
    both = f"{NAMES['torch']} and {NAMES['paddle']}"
    pairs = [
        Pair(dtype, f"{both}, {dtype}", dtype, losses["torch", dtype], losses["paddle", dtype])
        for dtype in ("float32", "float64")
    ]
    for name in FRAMEWORKS:
        title = f"{NAMES[name]} and itself, one bit of one weight changed, float32"
        own, changed = losses[name, "float32"], losses[name, FLIPPED]
        pairs.append(Pair(f"{name}_bit", title, "float32", own[: len(changed)], changed))
    return pairs


def write_losses(path: Path, losses: dict[tuple[str, str], np.ndarray], pairs: list[Pair]) -> None:
    """Write a row for each step: every loss with all its digits, and every relative difference."""
    columns = {
        f"{name}_{weights.replace(FLIPPED, 'bit')}": values
        for (name, weights), values in losses.items()
    }
    columns |= {f"difference_{pair.name}": pair.difference for pair in pairs}
    steps = max(len(values) for values in columns.values())
    with replace_atomically(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *columns])
        for step in range(steps):
            cells = [cell(name, values, step) for name, values in columns.items()]
            writer.writerow([step + 1, *cells])


def cell(column: str, values: np.ndarray, step: int) -> str:
    """Return what the table holds of a step: nothing where the series is over."""
    if step >= len(values):
        return ""
    value = values[step].item()
    return f"{value:.3g}" if column.startswith("difference") else repr(value)


def as_table(pairs: list[Pair]) -> list[str]:
    """Return a table: the step where each pair parts, and how fast."""
    heads = ["difference of the losses above 1e-6", "1e-3", "1 %: parted", "largest"]
    speeds = [parting.growth(pair.difference, pair.dtype) for pair in pairs]
    if any(speeds):
        heads.append("doubles")
    lines = [f"| held against each other | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for pair, grown in zip(pairs, speeds, strict=True):
        steps = len(pair.difference)
        cells = []
        for threshold in parting.THRESHOLDS:
            step = parting.first_above(pair.difference, threshold)
            cells.append(f"not in {steps} steps" if step is None else f"step {step}")
        cells.append(f"{pair.difference.max():.1e}")
        if any(speeds):
            cells.append(f"every {grown.doubling:.0f} steps" if grown else "")
        lines.append(f"| {pair.title} | {' | '.join(cells)} |")
    if any(speeds):
        lines += ["", f"*Doubles*: {DOUBLES}"]
    return lines


def write_page(path: Path, args: argparse.Namespace, table: str, verdict: str, data: str) -> None:
    """Write the page; `data` says which images were trained on."""
    recipe = RECIPES[args.recipe]
    settings = settings_of(args.recipe, recipe, args.batch_size, args.steps)
    words = ["python", "-m", "experiments.curves"]
    if args.data_path or args.dataset:  # whose folder it was is nobody's matter
        words += ["--dataset", args.dataset] if args.dataset else ["--data-path", "DIR"]
    for name in SHOWN:
        words += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    page = markdown.render(
        Path(__file__).with_suffix(".md.j2"),
        parted=parting.PARTED,
        command=" ".join(words),
        lr=settings["lr"],
        recipe=recipe,
        made_on=made_on(),
        table=table,
        verdict=verdict,
        data=data,
    )
    markdown.write(path, page)


if __name__ == "__main__":
    errors.run(main)
