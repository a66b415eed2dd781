"""How the cost grows with the work: images, classes, batch, processes, image size.

    python -m benchmarks.scale [--quick] [--only AXIS...] [--output DIR]

Everything is measured in a process of its own. A step is the tree's own on one batch again and
again, in one thread, and its time is that of the processor, so that other work on the machine
hardly shows (of the axis "processes" it is that of the clock). The images are made up and small.
Writes scale.csv and scale.png:

    index_seconds, index_mb       index_split of `train` (common/data/folder.py), and its memory
    step_seconds, images_per_s    of training
    peak_mb                       most memory that the processes of a run had, together
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks.measure import run_json
from benchmarks.variants import Job
from common.data import synthetic
from common.paths import ROOT
from common.tables import read_csv, write_csv
from common.training.plots import new_figure, save
from portproof.system import processor
from portproof.system.command_line import Parser

RESULTS = ROOT / "docs" / "results"
COLUMNS = ("index_seconds", "index_mb", "step_seconds", "images_per_s", "peak_mb")


class Axis(NamedTuple):
    """What is varied: where it is measured, and the two panels that show it."""

    at: tuple[int, ...]
    title: str
    unit: str  # below the panels
    upper: tuple[str, str]  # column, label
    lower: tuple[str, str]


SPEED, MEMORY = ("images_per_s", "images/s"), ("peak_mb", "memory of a run (GB)")
AXES = {
    "pictures": Axis(
        (1_000, 10_000, 100_000, 1_000_000),
        "more images: index of the folder",
        "images in train",
        ("index_seconds", "seconds"),
        ("index_mb", "memory of the index (MB)"),
    ),
    "classes": Axis(
        (10, 100, 1_000, 10_000, 21_000),
        "more classes: one step",
        "classes",
        ("step_seconds", "seconds"),
        MEMORY,
    ),
    "batch": Axis(
        (8, 16, 32, 64, 128),
        "larger batch: training",
        "images in a batch",
        SPEED,
        MEMORY,
    ),
    "processes": Axis(
        (1, 2),
        "more processes, one thread each",
        "processes",
        ("images_per_s", "images/s of all"),
        ("peak_mb", "memory of all (GB)"),
    ),
    "size": Axis(
        (64, 128, 224, 448),
        "larger images: training",
        "pixels a side",
        SPEED,
        MEMORY,
    ),
}
USUAL = {"classes": 10, "batch": 32, "processes": 1, "size": 224}  # where they are not varied
QUICK = 2  # of the places of an axis, where it is to be quick
STEPS = (1, 3)  # that are not measured, and that are
MADE_UP = ["--made-up"]  # one batch, again and again
SHORT = ["--epochs", 1, "--warmup-epochs", 0, "--device", "cpu"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
NAMES = {"torch": "PyTorch", "paddle": "Paddle"}
INDEX = """
import json, sys, time
from pathlib import Path
from benchmarks.window import peak_resident
from common.data.folder import index_split
before, start = peak_resident(), time.perf_counter()
index_split(Path(sys.argv[1]), "train")
seconds = time.perf_counter() - start
print(json.dumps({"index_seconds": seconds, "index_mb": (peak_resident() - before) / 2**20}))
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and small, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=AXES, default=list(AXES), metavar="AXIS")
    parser.add_argument("--output", type=Path, help="folder (docs/results; .cache/scale if quick)")
    args = parser.parse_args(argv)
    folder = args.output or (ROOT / ".cache" / "scale" if args.quick else RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read_rows(folder / "scale.csv") if row["axis"] not in args.only]
    for axis in args.only:
        for at in AXES[axis].at[: QUICK if args.quick else None]:
            for measured in measure(axis, at):
                rows.append({"axis": axis, "at": at} | measured)
                print(*(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    rows.sort(key=lambda row: list(AXES).index(row["axis"]))
    write_rows(folder / "scale.csv", rows)
    draw(folder / "scale.png", read_rows(folder / "scale.csv"))


def measure(axis: str, at: int) -> list[dict]:
    """Return what was measured at one place of an axis, a row for each framework."""
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        index_command = [sys.executable, "-c", INDEX, data]
        if axis == "pictures":
            make_images(data, min(1_000, at // 10), at)
            return [{"framework": "both"} | run_json(index_command)]
        settings = USUAL | {axis: at}
        images = settings["batch"] * settings["processes"]  # one whole batch
        make_images(data, settings["classes"], images)
        index = run_json(index_command) if axis == "classes" else {}
        rate = "images_per_s" if axis == "processes" else "images_per_core_s"
        job = Job(data, settings["batch"], STEPS, window=MADE_UP, settings=ONE_THREAD)
        options = [*SHORT, "--image-size", settings["size"]]
        rows = []
        for name in NAMES:
            figures = job.run_tree(name, options, settings["processes"])
            measured = {
                "step_seconds": images / figures[rate],
                "images_per_s": figures[rate],
                "peak_mb": figures["resident_mb"] * 1e6 / 2**20,
            }
            rows.append({"framework": name} | index | measured)
        return rows


def make_images(folder: Path, classes: int, images: int) -> None:
    """Make a folder of so many train images, links to one a class, and of one val image a class."""
    image = Image.fromarray(synthetic.draw_image(0, "train", "disc", 0)).resize((64, 64))
    for split, count in (("train", -(-images // classes)), ("val", 1)):
        for label in range(classes):
            target = folder / split / f"n{label:08d}"
            target.mkdir(parents=True)
            first = target / f"n{label:08d}_0.JPEG"
            image.save(first)
            for number in range(1, count):
                os.link(first, target / f"n{label:08d}_{number}.JPEG")


def read_rows(path: Path) -> list[dict]:
    """Return the rows of a scale.csv, numbers as numbers; none where there is no file."""
    texts = ("axis", "framework")
    return [
        {name: cell if name in texts else float(cell) for name, cell in row.items() if cell}
        for row in read_csv(path)
    ]


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write the rows, numbers with four digits."""
    lines = []
    for row in rows:
        digits = {name: f"{row[name]:.4g}" for name in COLUMNS if name in row}
        lines.append(row | {"at": f"{row['at']:.0f}"} | digits)
    write_csv(path, ["axis", "at", "framework", *COLUMNS], lines)


def draw(path: Path, rows: list[dict]) -> None:
    """Draw the panels: speed above, memory below, a column for each axis."""
    figure = new_figure(17, 6.6)
    on = f"{processor.describe()[1]}, {processor.available_cores()} cores"
    figure.suptitle(f"How the cost of training AlexNet grows with the work ({on})")
    panels = figure.subplots(2, len(AXES))
    for (above, below), (name, axis) in zip(panels.T, AXES.items(), strict=True):
        above.set_title(axis.title)
        of_axis = [row for row in rows if row["axis"] == name]
        for axes, (column, label) in ((above, axis.upper), (below, axis.lower)):
            draw_panel(axes, of_axis, column, name)
            axes.set(xlabel=axis.unit, ylabel=label)
    save(figure, path)


def draw_panel(axes, rows: list[dict], name: str, axis: str) -> None:
    """Draw one quantity over one axis: a line for each framework, and one for the index."""
    if not any(row.get(name) for row in rows):  # not measured, or too small to see
        return
    unit = 1024 if name == "peak_mb" else 1
    lines = {title: (framework, name) for framework, title in NAMES.items()}
    if axis == "pictures":
        lines = {"both trees": ("both", name)}
    elif name == "step_seconds":
        lines["index of the folder"] = ("torch", "index_seconds")
    for label, (framework, quantity) in lines.items():
        shown = [row for row in rows if row["framework"] == framework and row.get(quantity)]
        heights = [row[quantity] / unit for row in shown]
        axes.plot([row["at"] for row in shown], heights, marker="o", label=label)
    is_wide = axis in ("pictures", "classes")
    if axis != "processes":
        axes.set_xscale("log", base=10 if is_wide else 2)
    if not is_wide:
        ticks = sorted({row["at"] for row in rows})
        axes.set_xticks(ticks, [f"{at:.0f}" for at in ticks])
        axes.minorticks_off()
    if is_wide and name != "peak_mb":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


if __name__ == "__main__":
    main()
