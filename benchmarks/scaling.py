"""How much faster two processes train than one, in both trees, on pictures that cost nothing.

    python -m benchmarks.scaling

Each process computes in one thread and takes the same batch, so that twice the processes have twice
the work and twice the cores; with as few cores as processes the rest is what averaging gradients
costs. The pictures are one batch of 224 pixels that is given again and again, so that no
reading is measured; the step is the tree's own train_step. Writes docs/results/scaling.csv:
`efficiency` is the images a second of all processes over those of one, divided by their number.
"""

import csv

from benchmarks import variants
from common.paths import ROOT
from portproof.system import errors
from portproof.system.atomic import replace_whole

RESULTS = ROOT / "docs" / "results" / "scaling.csv"
PROCESSES = (1, 2)
BATCH, SIZE = 32, 224
WARM, STEPS = 1, 4


def main() -> None:
    rows = []
    for framework in variants.LAUNCH:
        alone = None
        for processes in PROCESSES:
            rate = measure_rate(framework, processes)
            alone = alone or rate
            efficiency = rate / alone / processes
            rows.append([framework, processes, f"{rate:.1f}", f"{efficiency:.3f}"])
            print(*rows[-1], sep="\t", flush=True)
    with replace_whole(RESULTS) as partial, open(partial, "w", newline="") as file:
        header = ["framework", "processes", "images_per_s", "efficiency"]
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def measure_rate(framework: str, processes: int) -> float:
    """Return the images a second that all processes train on together."""
    window = ["--made-up", "--warm-steps", WARM, "--steps", STEPS]
    options = [
        *("--recipe", "sample", "--image-size", SIZE, "--batch-size", BATCH, "--workers", 0),
        *("--epochs", 1, "--warmup-epochs", 0, "--device", "cpu"),
    ]
    figures = variants.run_tree(framework, window, options, processes, OMP_NUM_THREADS="1")
    return figures["images_per_s"]


if __name__ == "__main__":
    errors.run(main)
