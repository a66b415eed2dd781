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
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common import networks
from common.data import folder, public_data
from common.networks import LARGEST_IMAGE, SMALLEST_IMAGE
from common.paths import RUNS_DIR
from common.tables import write_csv
from common.training.recipes import RECIPES
from experiments import curve_plot, pages, parting
from experiments.options import add_images
from experiments.parting import Pair
from portproof.cli.options import add_number, add_seed
from portproof.cli.project import add_ports, sides
from portproof.core.training_pair import Request, TrainingPair, exact
from portproof.system import errors
from portproof.system.command_line import Parser, add_option
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
# What the page's command says of the options.
SHOWN = ("recipe", "steps", "float64_steps", "control_steps", "batch_size", "image_size", "seed")
DOUBLES = (
    "in how many steps the difference does, where a line through its logarithm, from above the "
    f"rounding of one loss to the parting, explains {parting.CLEAN:.0%} of it or more."
)

VERDICTS = {  # by whether it is a fault
    True: "In float64 they differ as early as in float32: that is no rounding but a fault; "
    "tools/compare_training.py tells where it is.",
    False: "Where they part, rounding parts them: float64 stays together for longer.",
}


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    data_path = public_data.locate(args)
    images, _ = folder.index_data(data_path)
    what = f"--output {args.output}: cannot be made"
    with errors.explained(what, "name another folder", OSError):
        args.output.mkdir(parents=True, exist_ok=True)
    with scratch() as temporary:
        losses = train_all(args, data_path, temporary)
    pairs = pairs_of(losses)
    write_losses(args.output / "curves.csv", losses, pairs)
    recipe = f"recipe {args.recipe}, {args.image_size} pixels, batch {args.batch_size}"
    curve_plot.draw(args.output / "curves.png", pairs, recipe)
    differences = {pair.name: pair.difference for pair in pairs}
    is_fault = parting.is_fault(differences["float32"], differences["float64"])
    data = f"{len(images):,} images of {len(images.classes)} classes to train on"
    shown = {"table": table(pairs), "verdict": VERDICTS[is_fault], "data": data}
    pages.write(args.output / "curves", "curves", lambda words: shown | settings_shown(args))
    print(f"{shown['table']}\n{shown['verdict']}")
    print(f"look at: {args.output / 'curves.png'}, {args.output / 'curves.md'}")
    return int(is_fault)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="experiments.curves", description=__doc__)
    add_images(parser)
    text = "hyperparameters (that of the data, or sample)"
    add_option(parser, "--recipe", text, sorted(RECIPES))
    add_number(parser, "--steps", "in float32", STEPS, (2, 1000))
    usual = f"{FLOAT64_STEPS}, or --steps if fewer"
    text = f"in float64, which takes three times as long ({usual})"
    add_number(parser, "--float64-steps", text, limits=(2, 1000))
    text = "of each framework against itself, in float32 (as --steps)"
    add_number(parser, "--control-steps", text, limits=(2, 1000))
    add_number(parser, "--batch-size", "images", BATCH)
    sizes = (SMALLEST_IMAGE, LARGEST_IMAGE)
    add_number(parser, "--image-size", "(recipe)", limits=sizes, metavar="PIXELS")
    add_seed(parser, "of weights, order, crops and dropout")
    add_ports(parser, PROJECT)
    add_option(parser, "--output", "(runs/curves)", Path, "DIR", RUNS_DIR / "curves")
    args = parser.parse_args(argv)
    args.float64_steps = args.float64_steps or min(FLOAT64_STEPS, args.steps)
    args.control_steps = args.control_steps or args.steps
    limited = {"--float64-steps": args.float64_steps, "--control-steps": args.control_steps}
    for option, steps in limited.items():
        if steps > args.steps:
            parser.error(f"{option} {steps} is more than --steps {args.steps}")
    args.recipe = args.recipe or (args.dataset if args.dataset in RECIPES else "sample")
    recipe = RECIPES[args.recipe]
    smallest = networks.SMALLEST[recipe.model]
    args.image_size = args.image_size or recipe.image_size
    if args.image_size < smallest:
        parser.error(f"--image-size {args.image_size}: {recipe.model} needs {smallest} or more")
    return args


def train_all(
    args: argparse.Namespace, data_path: Path, temporary: Path
) -> dict[tuple[str, str], np.ndarray]:
    """Train every series, or find it as it was trained before.

    Returns the loss of each step, [steps], by framework and by float32, float64 or FLIPPED. Raises
    UserError where a tree cannot be run, and where the two read other batches.
    """
    ports = sides(args, PROJECT)
    ports = {name: replace(side, environment=ONE_THREAD) for name, side in ports.items()}
    pair = TrainingPair(ports, temporary / "pair", args.seed, data_path=data_path)
    pair.image_size, pair.batch_size = args.image_size, args.batch_size
    pair.model, pair.records = RECIPES[args.recipe].model, Records(PROJECT.records)
    pair.folder.mkdir()
    settings = settings_of(args)
    print("the same weights for both ...", flush=True)
    pair.prepare()
    flip_last_bit(pair)
    with progress(pair, "reading batches", args.steps, "images-*.npy"):
        batches = pair.shared_batches(args.steps, settings)
    if batches is None:
        raise UserError("the trees read other batches; tools/compare_data.py tells which and why")
    losses = {}
    all_steps = (args.steps, args.float64_steps, args.control_steps)
    for weights, steps in zip(("float32", "float64", FLIPPED), all_steps, strict=True):
        with progress(pair, weights, steps, "logits-*.npy"):
            plan = {"steps": steps, "seed": args.seed, "kinds": []}
            dtype = "float32" if weights == FLIPPED else weights
            recording = {"dtype": dtype, "batches": batches, "plan": plan}
            reports = pair.ask(Request("training", settings, weights, recording))
        for name, report in reports.items():
            losses[name, weights] = np.array([row["loss"] for row in report["rows"]])
    return losses


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a port: the recipe at a constant rate, for batches of this size."""
    recipe = RECIPES[args.recipe]
    # By the square root of the batch: "One weird trick", https://arxiv.org/abs/1404.5997
    rate = recipe.lr / recipe.gpus * (args.batch_size / recipe.batch_size) ** 0.5
    return {
        "recipe": args.recipe,
        "dropout": recipe.dropout,
        "lr": exact(rate),
        "momentum": exact(recipe.momentum),
        "weight_decay": exact(recipe.weight_decay),
        "gpus": 1,
        "schedule": "step",
        "lr_step_size": args.steps + 1,
        "warmup_epochs": 0,
        "epochs": args.steps + 1,  # a step is at most an epoch
    }


def flip_last_bit(pair: TrainingPair) -> None:
    """Write the float32 weights of each side again, the last bit of the very first one changed."""
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
    """Show by a bar how far both sides are with a request within: each step leaves such a file."""
    start, over = time.perf_counter(), threading.Event()
    requests = f"{pair.requests + 1}-*"
    bar = tqdm(total=steps * len(FRAMEWORKS), desc=what, unit="step", disable=None, leave=False)

    def watch() -> None:
        while not over.wait(1.0):
            bar.update(sum(1 for _ in pair.folder.glob(f"{requests}/*/{files}")) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        bar.close()
    print(f"{what}: {steps} steps, {time.perf_counter() - start:.0f} s", flush=True)


def pairs_of(losses: dict[tuple[str, str], np.ndarray]) -> list[Pair]:
    """Return the pairs that say something: both frameworks, and each with its own changed start."""
    pairs = []
    for dtype in ("float32", "float64"):
        title = f"{' and '.join(NAMES.values())}, {dtype}"
        pairs.append(Pair(dtype, title, dtype, *(losses[name, dtype] for name in FRAMEWORKS)))
    for name in FRAMEWORKS:
        title = f"{NAMES[name]} and itself, one bit of one weight changed, float32"
        original, changed = losses[name, "float32"], losses[name, FLIPPED]
        pairs.append(Pair(f"{name}_bit", title, "float32", original[: len(changed)], changed))
    return pairs


def write_losses(path: Path, losses: dict[tuple[str, str], np.ndarray], pairs: list[Pair]) -> None:
    """Write a row for each step: every loss with all its digits, and every relative difference."""
    columns = {
        f"{name}_{weights.replace(FLIPPED, 'bit')}": [repr(loss) for loss in series.tolist()]
        for (name, weights), series in losses.items()
    }
    for pair in pairs:
        columns[f"difference_{pair.name}"] = [f"{number:.3g}" for number in pair.difference]
    rows = []
    for step, row in enumerate(zip_longest(*columns.values()), start=1):  # some are shorter
        rows.append(dict(zip(columns, row, strict=True)) | {"step": step})
    write_csv(path, ["step", *columns], rows)


def table(pairs: list[Pair]) -> str:
    """Return a table in Markdown: the step where each pair parts, and how fast."""
    heads = ["difference of the losses above 1e-6", "1e-3", "1 %: parted", "largest"]
    speeds = [parting.doubling(pair.difference, pair.dtype) for pair in pairs]
    if any(speeds):
        heads.append("doubles")
    lines = [f"| held against each other | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for pair, speed in zip(pairs, speeds, strict=True):
        cells = [pair.title]
        for threshold in parting.THRESHOLDS:
            step = parting.first_above(pair.difference, threshold)
            cells.append(f"not in {len(pair.difference)} steps" if step is None else f"step {step}")
        cells.append(f"{pair.difference.max():.1e}")
        if any(speeds):
            cells.append(f"every {speed:.0f} steps" if speed else "")
        lines.append(f"| {' | '.join(cells)} |")
    if any(speeds):
        lines += ["", f"*Doubles*: {DOUBLES}"]
    return "\n".join(lines)


def settings_shown(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the page shows of the command and the settings."""
    command = ["python", "-m", "experiments.curves"]
    if args.data_path or args.dataset:  # whose folder it was is nobody's matter
        command += ["--dataset", args.dataset] if args.dataset else ["--data-path", "DIR"]
    for name in SHOWN:
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    return {
        "parted": parting.PARTED,
        "command": " ".join(command),
        "lr": settings_of(args)["lr"],
        "recipe": RECIPES[args.recipe],
    }


if __name__ == "__main__":
    errors.run(main)
