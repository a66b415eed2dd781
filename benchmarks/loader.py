"""Reading images: the trees' loaders against torchvision's reference, from the same files.

    python -m benchmarks.loader

Each reads batches of augmented images of 224 pixels in one thread and trains nothing. Other work on
the machine disturbs `images_per_core_s`, of processor seconds, less than `images_per_s`. The peer
decodes with Pillow and has the transforms of torchvision's reference training.
"""

from collections.abc import Sequence
from functools import partial

from benchmarks import measure, variants
from portproof.system import errors

UNITS = {"images_per_core_s": "images/s and core", "images_per_s": "images/s"}
BATCH = 32
WARM_STEPS, STEPS = 4, 32
READ_AHEAD = 4  # batches that loader processes may keep ready
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main(argv: Sequence[str] | None = None) -> None:
    parser = measure.parser("loader", __doc__, repeats=5)
    variants.add_options(parser, workers=0)
    args = measure.parse(parser, argv)
    warm, steps, batch = (1, 3, 4) if args.quick else (WARM_STEPS, STEPS, BATCH)
    folder = variants.images(args.data_path, batch * (warm + steps + READ_AHEAD))
    read = ["--read-only"]
    job = variants.Job(folder, batch, (warm, steps), args.workers, read, ONE_THREAD)
    peer = variants.PEERS["torch"][0]
    contenders = {peer: partial(job.run_peer, "torch")}
    for framework in args.framework:
        for name, options in variants.known(framework, args.variants, in_one_process=True).items():
            if args.variants is None and name in variants.ARITHMETIC_ALONE:
                continue
            contenders[f"{framework} {name}"] = partial(job.run_tree, framework, options)
    rounds = measure.interleave(contenders, args.repeats)
    lines = measure.summarize(rounds, UNITS, peer)
    measure.write(args.output_dir, "loader", "Reading images, one thread", lines)


if __name__ == "__main__":
    errors.run(main)
