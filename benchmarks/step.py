"""The training step alone, on one batch again and again, and which share of the limit it reaches.

    python -m benchmarks.step                       # torch in float32 and bfloat16, Paddle

The limit: operations for each image over the best rate of matrix products of the same dtype, and
bytes over the bandwidth of memory (benchmarks/limits.py). Both rates are measured in the training's
own process, between its steps. Of the steps all count, of the rates the best that any contender of
the dtype reached: a framework's products may lack the kernels that its convolutions have. The step
is that of train.py itself, 224 pixels and 1,000 classes.

    images_per_s        images a second of the step alone
    limit_images_per_s  of the limit
    limit_share         share of the limit that the steps reached, per cent
    product_gflops      best rate of the contender's matrix products, 10^9 operations a second
    copy_gb_per_s       best bandwidth of memory that it met, read and written
    gflop_per_image     counted operations of forward and backward pass
"""

from collections.abc import Sequence
from functools import partial

from benchmarks import limits, measure, photos, variants
from benchmarks.measure import Figures
from common.paths import DATA_DIR
from portproof.cli.options import add_number
from portproof.system import errors

UNITS = {
    "images_per_s": "images/s",
    "limit_images_per_s": "images/s",
    "limit_share": "%",
    "product_gflops": "GFLOP/s",
    "copy_gb_per_s": "GB/s",
    "gflop_per_image": "GFLOP",
}
# By framework and variant of train.py, the dtype of most of its products.
DTYPES = {
    "torch": {"exact": "float32", "exact, channels last": "float32", "fast": "bfloat16"},
    "paddle": {"exact": "float32", "fast": "float32"},
}
RATES = ("product_gflops", "copy_gb_per_s")
ITEMSIZE = {"float32": 4, "bfloat16": 2}
BATCH = {"torch": 128, "paddle": 64}
WARM_STEPS, STEPS = 2, 5


def main(argv: Sequence[str] | None = None) -> None:
    parser = measure.parser("step", __doc__, repeats=3)
    variants.add_frameworks(parser)
    add_number(parser, "--batch-size", "(torch 128, paddle 64)")
    args = measure.parse(parser, argv)
    warm, steps = (1, 1) if args.quick else (WARM_STEPS, STEPS)
    contenders, kinds = {}, {}
    for framework in args.framework:
        batch = args.batch_size or (4 if args.quick else BATCH[framework])
        count = max(batch * (warm + steps), limits.CLASSES)
        folder = photos.write_small(DATA_DIR / f"small-{count}", count, limits.CLASSES)
        dtypes = DTYPES[framework]
        for name, options in variants.known(framework, dtypes, in_one_process=True).items():
            title = f"{framework} {name} ({dtypes[name]})"
            window = ["--made-up", "--rates", dtypes[name]]
            job = variants.Job(folder, batch, (warm, steps), window=window)
            words = ["--image-size", limits.IMAGE_SIZE, *options]
            kinds[title] = (dtypes[name], batch)
            contenders[title] = partial(job.run_tree, framework, words)
    rounds = hold_to_best(measure.interleave(contenders, args.repeats), kinds)
    title = "The training step, and the limit of this machine"
    measure.write(args.output_dir, "step", title, measure.summarize(rounds, UNITS))


def hold_to_best(
    rounds: dict[str, list[Figures]], kinds: dict[str, tuple[str, int]]
) -> dict[str, list[Figures]]:
    """Return the rounds with the limit of the best rates that any contender of a dtype reached.

    `kinds` has dtype and batch size of each contender.
    """
    gflop, held = limits.flops(limits.ALEXNET) / 1e9, {}
    for name, (dtype, batch) in kinds.items():
        alike = [run for other in kinds if kinds[other][0] == dtype for run in rounds[other]]
        rates = [1e9 * max(measured[rate] for measured in alike) for rate in RATES]
        limit = batch / limits.step_seconds(limits.ALEXNET, batch, *rates, ITEMSIZE[dtype])
        counted = {"limit_images_per_s": limit, "gflop_per_image": gflop}
        held[name] = [
            measured | counted | {"limit_share": 100 * measured["images_per_s"] / limit}
            for measured in rounds[name]
        ]
    return held


if __name__ == "__main__":
    errors.run(main)
