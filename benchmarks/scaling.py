"""How much faster two processes train than one, in both trees, on pictures that cost nothing.

    python -m benchmarks.scaling

Each process computes in one thread and takes the same batch, so that twice the processes have twice
the work and twice the cores; with as few cores as processes the rest is what averaging gradients
costs. The pictures are one batch of 224 pixels that is given again and again, so that no
reading is measured; the step is the tree's own train_step. Writes docs/results/scaling.csv:
`efficiency` is the images a second of all processes over those of one, divided by their number.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.paths import ROOT
from common.run_folder import replace_whole

RESULTS = ROOT / "docs" / "results" / "scaling.csv"
PROCESSES = (1, 2)
BATCH, SIZE = 32, 224
WARM, STEPS = 1, 4
LAUNCH = {
    "torch": ["torch.distributed.run", "--standalone", "--nproc-per-node"],
    "paddle": ["paddle.distributed.launch", "--log_dir", "logs", "--nproc_per_node"],
}
# Stands for the reading of pictures: train.py runs as ever, on batches that are there already.
PROGRAM = """
import runpy, sys, time
sys.path.insert(0, {tree!r})
import train

def read_batches(loader, epoch, first=0, device=None):
    batch = next(iter(loader))
    for number in range({steps}):
        if number == {warm}:
            times.append(time.perf_counter())
        yield batch[0], batch[1]
    times.append(time.perf_counter())

times = []
train.read_batches = read_batches
sys.argv = ["train.py", *{options!r}]
train.evaluate = lambda *given: sys.exit(print("seconds", times[1] - times[0], flush=True))
train.main()
"""


def main() -> None:
    rows = []
    for framework in LAUNCH:
        alone = None
        for processes in PROCESSES:
            rate = measure(framework, processes)
            alone = alone or rate
            efficiency = rate / alone / processes
            rows.append([framework, processes, f"{rate:.1f}", f"{efficiency:.3f}"])
            print(*rows[-1], sep="\t", flush=True)
    with replace_whole(RESULTS) as partial, open(partial, "w", newline="") as file:
        header = ["framework", "processes", "images_per_s", "efficiency"]
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def measure(framework: str, processes: int) -> float:
    """Return the images a second that all processes train on together."""
    with tempfile.TemporaryDirectory() as place:
        options = [
            *("--recipe", "sample", "--image-size", SIZE, "--batch-size", BATCH, "--workers", 0),
            *("--epochs", 1, "--warmup-epochs", 0, "--device", "cpu", "--output-dir", "run"),
        ]
        program = PROGRAM.format(
            tree=str(ROOT / f"AlexNet-{framework}"),
            steps=WARM + STEPS,
            warm=WARM,
            options=[str(option) for option in options],
        )
        script = Path(place) / "steps.py"
        script.write_text(program)
        command = [sys.executable]
        if processes > 1:
            command += ["-m", *LAUNCH[framework], str(processes)]
        start = time.monotonic()
        done = subprocess.run(
            [*command, str(script)],
            capture_output=True,
            text=True,
            cwd=place,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
        if not lines:
            sys.exit(f"{framework}, {processes}: no result\n{done.stdout}{done.stderr}")
        print(f"{framework}, {processes}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        return STEPS * BATCH * processes / float(lines[0].split()[1])


if __name__ == "__main__":
    main()
