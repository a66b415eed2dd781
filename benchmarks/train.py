"""Training end to end, from JPEG files to weights: the two trees against their peers.

    python -m benchmarks.train                              # torch and Paddle, all variants
    python -m benchmarks.train --framework torch --variants exact --batch-size 128

Project and peer (benchmarks/peers) take turns on the same files with the same batch and the same
number of loader processes. Each trains a few steps to warm up, more than batches are kept ready,
then the window that is timed (benchmarks/window.py, also for the figures). Without --data-path,
photographs are made up once (benchmarks.photos).
"""

from collections.abc import Sequence
from functools import partial

from benchmarks import measure, variants
from portproof.cli.options import add_number
from portproof.system import errors

UNITS = {"images_per_s": "images/s", "wait_share": "%", "resident_mb": "MB"}
# Paddle as installed takes many seconds for a batch of 128.
BATCH = {"torch": 128, "paddle": 32}
WARM_STEPS, STEPS = 5, 8
READ_AHEAD = 4  # batches that two loader processes keep ready


def main(argv: Sequence[str] | None = None) -> None:
    parser = measure.parser("train", __doc__, repeats=5)
    variants.add_options(parser, workers=2)
    usual_batch = ", ".join(f"{number} for {name}" for name, number in BATCH.items())
    add_number(parser, "--batch-size", usual_batch)
    add_number(parser, "--steps", "timed", STEPS)
    args = measure.parse(parser, argv)
    lines = []
    for framework in args.framework:
        batch = args.batch_size or (8 if args.quick else BATCH[framework])
        warm, steps = (1, 2) if args.quick else (WARM_STEPS, args.steps)
        folder = variants.images(args.data_path, batch * (warm + steps + READ_AHEAD))
        job = variants.Job(folder, batch, (warm, steps), args.workers)
        peer = variants.PEERS[framework][0]
        contenders = {peer: partial(job.run_peer, framework)}
        for name, options in variants.known(framework, args.variants).items():
            contenders[f"{framework} {name}"] = partial(job.run_tree, framework, options)
        rounds = measure.interleave(contenders, args.repeats)
        lines += measure.summarize(rounds, UNITS, peer)
    measure.write(args.output_dir, "train", "Training, from files to weights", lines)


if __name__ == "__main__":
    errors.run(main)
