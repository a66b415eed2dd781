"""Reading images: the trees' loaders against torchvision's reference, from the same files.

    python -m benchmarks.loader

Each reads batches of augmented images of 224 pixels in one thread and trains nothing.
`images_per_core_s` is images over processor seconds, which other work on the machine disturbs
less than `images_per_s`, images over seconds. The peer decodes with Pillow and has the
transforms of torchvision's reference training; both trees are held to it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import measure, variants
from benchmarks.measure import Contender, Figure
from portproof.system import errors
from portproof.system.command_line import whole

FIGURES = [Figure("images_per_core_s", "images/s and core"), Figure("images_per_s", "images/s")]
NAMES = [figure.name for figure in FIGURES]
BATCH = 32
WARM_STEPS, STEPS = 4, 32
READ_AHEAD = 4  # batches that loader processes may keep ready
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    warm, steps, batch = (1, 3, 4) if args.quick else (WARM_STEPS, STEPS, BATCH)
    folder = variants.images(args.data_path, batch * (warm + steps + READ_AHEAD))
    window = ["--read-only", "--warm-steps", warm, "--steps", steps]
    common = ["--batch-size", batch, "--workers", args.workers]
    contenders = make(args.framework, args.variants, common, window, folder)
    rounds = measure.interleave(contenders, args.repeats)
    lines = measure.summarize(rounds, FIGURES, variants.PEERS["torch"][0])
    measure.write(args.output_dir, "loader", "Reading images, one thread", lines)


def make(
    frameworks: list[str],
    wanted: list[str] | None,
    common: list[object],
    window: list[object],
    data: Path,
) -> dict[str, Contender]:
    """Return the peer and the loaders of the trees, by name; of equal loaders one alone."""
    peer = variants.PEERS["torch"][0]
    given = [data, *common, *window]
    contenders = {peer: variants.peer("torch", given, NAMES, **ONE_THREAD)}
    for framework in frameworks:
        for name, options in variants.known(framework, wanted, in_one_process=True).items():
            if wanted is None and name in variants.ARITHMETIC_ALONE:
                continue
            given = ["--data-path", data, *common, *options]
            contenders[f"{framework} {name}"] = variants.tree(
                framework, window, given, NAMES, **ONE_THREAD
            )
    return contenders


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = measure.parser("loader", __doc__, repeats=5)
    frameworks = list(variants.PEERS)
    parser.add_argument("--framework", nargs="+", choices=frameworks, default=frameworks)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of the trees (all)")
    parser.add_argument("--data-path", type=Path, metavar="DIR", help="images (made-up ones)")
    parser.add_argument("--workers", type=whole(0), default=0, help="loader processes (0)")
    return measure.parse(parser, argv)


if __name__ == "__main__":
    errors.run(main)
