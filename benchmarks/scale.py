"""How the cost grows with the work: images, classes, batch, processes, image size.

    python -m benchmarks.scale [--quick] [--only AXIS...] [--output DIR]

Everything is measured in a process of its own. A step is the tree's own on one batch again and
again, in one thread, and its time is that of the processor, so that other work on the machine
hardly shows (of the axis "processes" it is that of the clock). The images are made up and small.
Writes scale.csv and scale.png:

    index_seconds, index_mb       index_split of `train` (common/data/folder.py), and its memory
    step_seconds, images_per_s    of training; of "reading", of decoding and augmenting alone
    peak_mb                       most memory that the processes of a run had, together
    start_seconds                 of a whole start to the end of its first step, on all cores: the
                                  least of three
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.measure import Figures, run_json
from benchmarks.variants import LAUNCH, Job
from common.data import synthetic
from common.paths import ROOT
from common.tables import read_csv, write_csv
from common.training.plots import new_figure, save
from portproof.system import processor
from portproof.system.command_line import Parser

RESULTS = ROOT / "docs" / "results"
COLUMNS = ("index_seconds", "index_mb", "step_seconds", "images_per_s", "peak_mb", "start_seconds")
# By axis: where it is measured, and where if it is to be quick.
AXES = {
    "pictures": ((1_000, 10_000, 100_000, 1_000_000), (320, 1_000)),
    "classes": ((10, 100, 1_000, 10_000, 21_000), (10, 100)),
    "batch": ((8, 16, 32, 64, 128), (2, 4)),
    "processes": ((1, 2), (1, 2)),
    "size": ((64, 128, 224, 448), (64, 96)),
    "reading": ((224,), (224,)),
    "start": ((100_000,), (1_000,)),  # images
}
BATCH, SIZE = 32, 224  # where they are not what is varied
WARM, STEPS = 1, 3  # steps that are not measured, and that are
READ_STEPS = 4
USUAL = {"batch": BATCH, "processes": 1, "size": SIZE}
STARTS = 3
MADE_UP = ["--made-up"]  # one batch, again and again
SHORT = ["--epochs", 1, "--warmup-epochs", 0, "--device", "cpu"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
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
        for at in AXES[axis][args.quick]:
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
        if axis == "reading":
            make_photographs(data, BATCH * (WARM + READ_STEPS))
            return [{"framework": name} | read(name, data) for name in LAUNCH]
        if axis in ("pictures", "start"):
            make_images(data, min(1_000, at // 10), at)
        if axis == "pictures":
            return [{"framework": "both"} | index_once(data)]
        if axis == "start":
            return [{"framework": name} | start(name, data) for name in LAUNCH]
        settings = USUAL | ({axis: at} if axis in USUAL else {})
        images = settings["batch"] * settings["processes"]  # one whole batch
        make_images(data, at if axis == "classes" else 10, images)
        index = index_once(data) if axis == "classes" else {}
        rate = "images_per_s" if axis == "processes" else "images_per_core_s"
        job = Job(data, settings["batch"], (WARM, STEPS), window=MADE_UP, settings=ONE_THREAD)
        options = [*SHORT, "--image-size", settings["size"]]
        rows = []
        for name in LAUNCH:
            figures = job.run_tree(name, options, settings["processes"])
            measured = {
                "step_seconds": images / figures[rate],
                "images_per_s": figures[rate],
                "peak_mb": figures["resident_mb"] * 1e6 / 2**20,
            }
            rows.append({"framework": name} | index | measured)
        return rows


def index_once(data: Path) -> Figures:
    """Return the seconds and the memory of indexing the train images."""
    return run_json([sys.executable, "-c", INDEX, data])


def start(framework: str, data: Path) -> Figures:
    """Return the seconds of the quickest start, on all cores."""
    job = Job(data, BATCH, (0, 1), window=MADE_UP)
    seconds = []
    for _ in range(STARTS):
        launched = time.time()
        figures = job.run_tree(framework, [*SHORT, "--image-size", SIZE])
        seconds.append(figures["ready_at"] + figures["step_seconds"] - launched)
    return {"start_seconds": min(seconds)}


def read(framework: str, data: Path) -> Figures:
    """Return how many images a second one core reads, as a worker process of the loader does."""
    job = Job(data, BATCH, (WARM, READ_STEPS), window=["--read-only"], settings=ONE_THREAD)
    return {"images_per_s": job.run_tree(framework)["images_per_core_s"]}


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


def make_photographs(folder: Path, count: int) -> None:
    """Make an image folder of so many train images, in bytes and pixels like ImageNet's."""
    for split, number_of in (("train", count), ("val", 1)):
        target = folder / split / "disc"
        target.mkdir(parents=True)
        for number in range(number_of):
            image = Image.fromarray(synthetic.draw_image(0, split, "disc", number))
            image.resize((500, 375)).save(target / f"{number}.jpg", quality=98)  # 110 kB


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


NAMES = {"torch": "PyTorch", "paddle": "Paddle"}
SPEED, MEMORY = ("images_per_s", "images/s"), ("peak_mb", "memory of a run (GB)")
# For each axis: title, what is below the panels, and (column, label) of the upper and the lower.
PANELS = {
    "pictures": (
        "more images: index of the folder",
        "images in train",
        ("index_seconds", "seconds"),
        ("index_mb", "memory of the index (MB)"),
    ),
    "classes": ("more classes: one step", "classes", ("step_seconds", "seconds"), MEMORY),
    "batch": ("larger batch: training", "images in a batch", SPEED, MEMORY),
    "processes": (
        "more processes, one thread each",
        "processes",
        ("images_per_s", "images/s of all"),
        ("peak_mb", "memory of all (GB)"),
    ),
    "size": ("larger images: training", "pixels a side", SPEED, MEMORY),
}


def draw(path: Path, rows: list[dict]) -> None:
    """Draw the panels: speed above, memory below, a column for each axis."""
    figure = new_figure(17, 6.6)
    on = f"{processor.describe()[1]}, {processor.available_cores()} cores"
    figure.suptitle(f"How the cost of training AlexNet grows with the work ({on})")
    panels = figure.subplots(2, len(PANELS))
    for column, (axis, (title, below, *both)) in enumerate(PANELS.items()):
        panels[0, column].set_title(title)
        of_axis = [row for row in rows if row["axis"] == axis]
        for axes, (name, label) in zip(panels[:, column], both, strict=True):
            draw_panel(axes, of_axis, name, axis)
            axes.set(xlabel=below, ylabel=label)
    save(figure, path)


def draw_panel(axes, rows: list[dict], name: str, axis: str) -> None:
    """Draw one quantity over one axis: a line for each framework, and one for the index."""
    if not any(row.get(name) for row in rows):  # not measured, or too small to see
        return
    unit = 1024 if name == "peak_mb" else 1
    lines = {NAMES[framework]: (framework, name) for framework in NAMES}
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
