"""On paper: what training on all of ImageNet would take, from rates that are given.

    python -m benchmarks.paper --gpu-rate R --decode-rate D [...]

Reading, decoding, computing and averaging the gradients go on side by side, so the slowest of them
is the rate of all: that is the bottleneck. Nothing is lost in waiting for one another, and
evaluation is not counted, so the hours are the least that it takes. Prints a Markdown table.
"""

import argparse
import math
from typing import NamedTuple

from portproof.report import markdown
from portproof.system.command_line import Parser

IMAGE_BYTES = 110_000  # of an average ImageNet image
GPUS = (1, 8, 64)
FEATURES = 4096  # inputs of the last layer


class Job(NamedTuple):
    name: str
    images: int
    classes: int
    epochs: int


JOBS = (Job("ImageNet-1k", 1_281_167, 1_000, 90), Job("ImageNet-21k", 14_197_122, 21_841, 90))


class Rates(NamedTuple):
    """What one part of the machinery does; bytes and images are a second."""

    gpu: float  # images that one GPU trains on, at 1,000 classes
    decode: float  # images that one core decodes and augments
    cores: int = 12  # for each GPU
    storage: float = 5e9  # bytes that one machine reads
    link: float = 100e9  # bytes from one GPU to the next in the same machine
    network: float = 12.5e9  # bytes from one machine to the next (100 Gbit/s)
    batch: int = 32  # of each GPU
    machine_gpus: int = 8


class Estimate(NamedTuple):
    images_per_s: float
    hours: float
    bytes_per_s: float  # read, by all machines together
    cores: float  # that it takes to decode as fast as the GPUs compute
    gradient_bytes: float  # that each GPU sends in a step
    bottleneck: str


def parameters(classes: int) -> int:
    """Return the number of AlexNet's parameters: only the last layer knows the classes."""
    return 61_100_840 + (FEATURES + 1) * (classes - 1_000)


def multiplications(classes: int) -> int:
    """Return how many multiplications one image of 224 pixels takes, forward."""
    return 714_188_480 + FEATURES * (classes - 1_000)


def gradient_bytes(job: Job, gpus: int) -> float:
    """Return what each of `gpus` sends in a step: a ring passes each gradient on nearly twice."""
    return 2 * (gpus - 1) / gpus * 4 * parameters(job.classes)


def limits(job: Job, gpus: int, rates: Rates) -> dict[str, float]:
    """Return how many images a second each part could do if it were alone."""
    machines = math.ceil(gpus / rates.machine_gpus)
    way = rates.link if machines == 1 else min(rates.link, rates.network)
    seconds = gradient_bytes(job, gpus) / way
    return {
        "computing": gpus * rates.gpu * multiplications(1_000) / multiplications(job.classes),
        "decoding": gpus * rates.cores * rates.decode,
        "reading": machines * rates.storage / IMAGE_BYTES,
        "gradients": gpus * rates.batch / seconds if seconds else math.inf,
    }


def estimate(job: Job, gpus: int, rates: Rates) -> Estimate:
    """Return what the job takes on so many GPUs."""
    found = limits(job, gpus, rates)
    bottleneck = min(found, key=found.get)
    speed = found[bottleneck]
    return Estimate(
        images_per_s=speed,
        hours=job.images * job.epochs / speed / 3600,
        bytes_per_s=speed * IMAGE_BYTES,
        cores=found["computing"] / rates.decode,
        gradient_bytes=gradient_bytes(job, gpus),
        bottleneck=bottleneck,
    )


HEADER = (
    "data, epochs", "GPUs", "images/s", "hours", "read (MB/s)", "cores to keep the GPUs busy",
    "gradients sent by each GPU in a step (MB)", "bottleneck",
)  # fmt: skip


def table(rates: Rates) -> str:
    """Return the estimates of all jobs as a Markdown table."""
    rows: list[tuple[object, ...]] = [HEADER]
    for job in JOBS:
        for gpus in GPUS:
            found = estimate(job, gpus, rates)
            rows.append(
                (
                    f"{job.name}, {job.epochs}",
                    gpus,
                    f"{found.images_per_s:,.0f}",
                    f"{found.hours:,.1f}",
                    f"{found.bytes_per_s / 1e6:,.0f}",
                    f"{math.ceil(found.cores):,}",
                    f"{found.gradient_bytes / 1e6:,.0f}",
                    found.bottleneck,
                )
            )
    return markdown.table(rows)


OPTIONS = {  # by the name of a rate
    "gpu": ("--gpu-rate", "images a second that one GPU trains on (1,000 classes, 224 pixels)"),
    "decode": ("--decode-rate", "images a second that one core decodes and augments"),
    "cores": ("--cores", "cores for each GPU"),
    "storage": ("--storage-rate", "bytes a second that one machine reads"),
    "link": ("--link-rate", "bytes a second from a GPU to the next in its machine"),
    "network": ("--network-rate", "bytes a second from a machine to the next"),
    "batch": ("--batch", "images of a step on each GPU"),
    "machine_gpus": ("--machine-gpus", "GPUs in one machine"),
}


def parse(arguments: list[str] | None = None) -> Rates:
    """Return the rates that the command line gives."""
    parser = Parser(prog="benchmarks.paper", description=__doc__.splitlines()[0])
    for name, (option, text) in OPTIONS.items():
        usual = Rates._field_defaults.get(name)
        text += "" if usual is None else f" (default {usual:g})"
        parser.add_argument(
            option, dest=name, type=positive, default=usual, required=usual is None, help=text
        )
    return Rates(**vars(parser.parse_args(arguments)))


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


if __name__ == "__main__":
    print(table(parse()))
