"""How the cost grows with the work: pictures, classes, batch, processes, picture size.

    python -m benchmarks.scale [--quick] [--only AXIS...] [--output DIR]

Everything is measured in a process of its own. A step is the tree's own train_step on one batch
that is given again and again, so that no reading is in it; it computes in one thread, and its time
is that of the processor, so that other work on the machine hardly shows (of the axis "processes"
it is that of the clock). The pictures are made up and small (hard links to one file a class), and
in the system's cache. Writes scale.csv and scale.png:

    index_seconds, index_mb       common.folder.index_split of `train`, and what memory it takes
    step_seconds, images_per_s    of training; of "reading", of one thread that decodes and augments
                                  pictures as large as ImageNet's
    peak_mb                       most memory that the processes of a run had, together
    start_seconds                 from the process's first moment to the end of its first step, all
                                  of train.py in between, on all cores: the least of three
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.variants import LAUNCH
from common import sample
from common.paths import ROOT
from common.plots import new_figure
from portproof.system import processor
from portproof.system.atomic import replace_whole
from portproof.system.command_line import Parser

RESULTS = ROOT / "docs" / "results"
COLUMNS = ("index_seconds", "index_mb", "step_seconds", "images_per_s", "peak_mb", "start_seconds")
AXES = {
    "pictures": (1_000, 10_000, 100_000, 1_000_000),
    "classes": (10, 100, 1_000, 10_000, 21_000),
    "batch": (8, 16, 32, 64, 128),
    "processes": (1, 2),
    "size": (64, 128, 224, 448),
    "reading": (224,),
    "start": (100_000,),  # pictures
}
QUICK = {
    "pictures": (320, 1_000),
    "classes": (10, 100),
    "batch": (2, 4),
    "processes": (1, 2),
    "size": (64, 96),
    "reading": (224,),
    "start": (1_000,),
}
BATCH, SIZE = 32, 224  # where they are not what is varied
WARM, STEPS = 1, 3  # steps that are not measured, and that are
USUAL = {"batch": BATCH, "processes": 1, "size": SIZE}
STARTS = 3
READ = 64  # pictures of ImageNet's usual size, 500 x 375 pixels and 110 kB
# Each program writes what it has measured into its working folder.
PEAK = """
from benchmarks.window import peak_resident

def peak_mb():
    return peak_resident() / 2**20
"""
INDEX = f"""
import json, sys, time
from pathlib import Path
from common.folder import index_split
{PEAK}
before, start = peak_mb(), time.perf_counter()
index_split(Path(sys.argv[1]), "train")
seconds = time.perf_counter() - start
found = {{"index_seconds": seconds, "index_mb": peak_mb() - before}}
Path("found.json").write_text(json.dumps(found))
"""
TRAIN = f"""
import json, os, sys, time
from pathlib import Path
tree, launched, clock, *options = sys.argv[1:]
clock = getattr(time, clock)
sys.path.insert(0, tree)
import train
from common.training import Observer
{PEAK}
class Timed(Observer):
    def batches(self, batches, epoch):
        batch = next(iter(batches))
        for number in range({WARM} + {STEPS}):
            clocks.append((time.time(), clock()))
            yield batch
        clocks.append((time.time(), clock()))
        found = {{
            "start_seconds": clocks[1][0] - float(launched),
            "step_seconds": (clocks[-1][1] - clocks[{WARM}][1]) / {STEPS},
            "peak_mb": peak_mb(),
        }}
        Path(f"found-{{os.getpid()}}.json").write_text(json.dumps(found))
        sys.exit()

clocks = []  # wall clock and `clock` before each step, and at the end
train.main(options, Timed())
"""
READING = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, {tree!r})
import train  # first: it sets the framework up
from common.args import parse
from common.folder import index_data
from datasets.folder import make_loader

args = parse({framework!r}, ["--workers", "0", "--data-path", "data"])
dataset = make_loader(index_data(Path("data"))[0], args, train=True).dataset
for epoch in range(2):  # the first one warms up
    start = time.process_time()
    for i in range(len(dataset)):
        dataset[epoch, i]
found = {{"images_per_s": len(dataset) / (time.process_time() - start)}}
Path("found.json").write_text(json.dumps(found))
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
        for at in (QUICK if args.quick else AXES)[axis]:
            for found in measure(axis, at):
                rows.append({"axis": axis, "at": at} | found)
                print(*(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    rows.sort(key=lambda row: list(AXES).index(row["axis"]))
    write_rows(folder / "scale.csv", rows)
    draw(folder / "scale.png", read_rows(folder / "scale.csv"))


def measure(axis: str, at: int) -> list[dict]:
    """Return what was measured at one place of an axis, a row for each framework."""
    with tempfile.TemporaryDirectory() as place:
        data, index = Path(place) / "data", {}
        if axis == "reading":
            make_photographs(data)
            return [{"framework": name} | read(name, Path(place)) for name in LAUNCH]
        if axis in ("pictures", "start"):
            make_pictures(data, min(1_000, at // 10), at)
        if axis == "pictures":
            return [{"framework": "both"} | index_once(data)]
        if axis == "start":
            return [{"framework": name} | start(name, data) for name in LAUNCH]
        settings = USUAL | ({axis: at} if axis in USUAL else {})
        pictures = settings["batch"] * settings["processes"]  # one whole batch
        make_pictures(data, at if axis == "classes" else 10, pictures)
        index = index_once(data) if axis == "classes" else {}
        clock = "time" if axis == "processes" else "process_time"
        rows = []
        for name in LAUNCH:
            found = train(name, data, clock, settings, OMP_NUM_THREADS="1")
            found["images_per_s"] = pictures / found["step_seconds"]
            del found["start_seconds"]  # in one thread
            rows.append({"framework": name} | index | found)
        return rows


def index_once(data: Path) -> dict:
    """Return the seconds and the memory of indexing the train pictures."""
    return run([sys.executable, "-c", INDEX, str(data)], data.parent)


def start(framework: str, data: Path) -> dict:
    """Return the seconds of the quickest start, on all cores."""
    found = [train(framework, data, "time", USUAL) for _ in range(STARTS)]
    return {"start_seconds": min(one["start_seconds"] for one in found)}


def make_pictures(folder: Path, classes: int, pictures: int) -> None:
    """Make an image folder of so many train pictures in all, and of one val picture a class."""
    picture = Image.fromarray(sample.draw_picture(0, "train", "disc", 0)).resize((64, 64))
    for split, count in (("train", -(-pictures // classes)), ("val", 1)):
        for label in range(classes):
            place = folder / split / f"n{label:08d}"
            place.mkdir(parents=True)
            first = place / f"n{label:08d}_0.JPEG"
            picture.save(first)
            for number in range(1, count):
                os.link(first, place / f"n{label:08d}_{number}.JPEG")


def make_photographs(folder: Path) -> None:
    """Make an image folder of READ pictures as large as ImageNet's, in bytes as in pixels."""
    for split in ("train", "val"):
        place = folder / split / "disc"
        place.mkdir(parents=True)
        for number in range(READ):
            picture = Image.fromarray(sample.draw_picture(0, split, "disc", number))
            picture.resize((500, 375)).save(place / f"{number}.jpg", quality=98)


def train(
    framework: str, data: Path, clock: str, settings: dict[str, int], **environment: str
) -> dict:
    """Return what TRAIN finds of a run of train.py; `clock` is a function of `time`.

    `settings`: batch, processes, and size in pixels.
    """
    batch, processes, size = (settings[name] for name in ("batch", "processes", "size"))
    with tempfile.TemporaryDirectory() as place:
        options = [
            *("--data-path", data, "--image-size", size, "--batch-size", batch, "--workers", 0),
            *("--epochs", 1, "--warmup-epochs", 0, "--device", "cpu", "--output-dir", "run"),
        ]
        script = Path(place) / "steps.py"
        script.write_text(TRAIN)
        launch = ["-m", *LAUNCH[framework], str(processes)] if processes > 1 else []
        given = [ROOT / f"AlexNet-{framework}", time.time(), clock, *options]
        command = [sys.executable, *launch, script, *given]
        return run([str(word) for word in command], Path(place), **environment)


def read(framework: str, place: Path) -> dict:
    """Return how many pictures a second one core reads, as a worker process of the loader does."""
    program = READING.format(tree=str(ROOT / f"AlexNet-{framework}"), framework=framework)
    return run([sys.executable, "-c", program], place, OMP_NUM_THREADS="1")


def run(command: list[str], place: Path, **environment: str) -> dict:
    """Run a program in `place`; return what it found. Of several processes, memory is summed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    files = sorted(place.glob("found*.json"))
    if not files:
        sys.exit(f"{command}: no result\n{done.stdout}{done.stderr}")
    found = [json.loads(file.read_text()) for file in files]
    for file in files:
        file.unlink()
    return {
        name: (sum if name == "peak_mb" else max)(one[name] for one in found) for name in found[0]
    }


def read_rows(path: Path) -> list[dict]:
    """Return the rows of a scale.csv, numbers as numbers; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [
            {
                name: value if name in ("axis", "framework") else float(value)
                for name, value in row.items()
                if value
            }
            for row in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write the rows, numbers with four digits."""
    with replace_whole(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["axis", "at", "framework", *COLUMNS])
        for row in rows:
            values = [f"{row[name]:.4g}" if name in row else "" for name in COLUMNS]
            writer.writerow([row["axis"], f"{row['at']:.0f}", row["framework"], *values])


NAMES = {"torch": "PyTorch", "paddle": "Paddle"}
MEMORY = ("peak_mb", "memory of a run (GB)")
# For each axis: title, what is below the panels, and (column, label) of the upper and the lower.
PANELS = {
    "pictures": (
        "more pictures: index of the folder",
        "pictures in train",
        ("index_seconds", "seconds"),
        ("index_mb", "memory of the index (MB)"),
    ),
    "classes": ("more classes: one step", "classes", ("step_seconds", "seconds"), MEMORY),
    "batch": (
        "larger batch: training",
        "pictures in a batch",
        ("images_per_s", "images/s"),
        MEMORY,
    ),
    "processes": (
        "more processes, one thread each",
        "processes",
        ("images_per_s", "images/s of all"),
        ("peak_mb", "memory of all (GB)"),
    ),
    "size": ("larger pictures: training", "pixels a side", ("images_per_s", "images/s"), MEMORY),
}


def draw(path: Path, rows: list[dict]) -> None:
    """Draw the panels: speed above, memory below, a column for each axis."""
    figure = new_figure(17, 6.6)
    _, model, _ = processor.describe()
    cores = processor.available_cores()
    figure.suptitle(
        f"How the cost of training AlexNet grows with the work ({model}, {cores} cores)"
    )
    panels = figure.subplots(2, len(PANELS))
    for column, (axis, (title, below, *both)) in enumerate(PANELS.items()):
        panels[0, column].set_title(title)
        own = [row for row in rows if row["axis"] == axis]
        for axes, (name, label) in zip(panels[:, column], both, strict=True):
            draw_panel(axes, own, name, axis)
            axes.set_xlabel(below)
            axes.set_ylabel(label)
    with replace_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def draw_panel(axes, rows: list[dict], name: str, axis: str) -> None:
    """Draw one quantity over one axis: a line for each framework, and one for the index."""
    if not any(row.get(name) for row in rows):  # not measured, or too small to see
        return
    unit = 1024 if name == "peak_mb" else 1
    lines = {NAMES[one]: (one, name) for one in NAMES}
    if axis == "pictures":
        lines = {"both trees": ("both", name)}
    elif name == "step_seconds":
        lines["index of the folder"] = ("torch", "index_seconds")
    for label, (framework, quantity) in lines.items():
        own = [row for row in rows if row["framework"] == framework and row.get(quantity)]
        places = [row["at"] for row in own]
        axes.plot(places, [row[quantity] / unit for row in own], marker="o", label=label)
    if axis in ("pictures", "classes"):
        axes.set_xscale("log")
    elif axis in ("batch", "size"):
        axes.set_xscale("log", base=2)
    if axis not in ("pictures", "classes"):
        places = sorted({row["at"] for row in rows})
        axes.set_xticks(places, [f"{at:.0f}" for at in places])
        axes.minorticks_off()
    if name != "peak_mb" and axis in ("pictures", "classes"):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()


if __name__ == "__main__":
    main()
