"""The checkpoint data: what evaluation sees; and what it shares with train_data.

Both sides read the same images through their own loaders. portproof/diagnose names the fault, in
stream.py (order, labels), pixels.py (the numbers) and resizing.py (the images).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from portproof.core.findings import Cause
from portproof.core.streams import Images, Stream, read
from portproof.core.verdict import Block, Verdict, timed, with_lines
from portproof.diagnose import pixels, resizing, stream
from portproof.diagnose.pixels import Constants
from portproof.diagnose.stream import Pairs, Streams
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Sides, to_mend

# Two roundings: for values up to 4 float32 numbers lie 2.4e-7 apart. Other spellings of the same
# arithmetic were seen to be one off; a mean that is wrong in its fifth digit gives 1e-5.
ROUNDING = 2 * 2.4e-7
COMPARED, ALSO_FOUND = "What was compared", "Also found"  # titles of blocks
SAME = "files with the same numbers"
MOST = 400  # samples that tell how often the images are mirrored


@dataclass
class Numbers:
    """How the numbers of two streams compare, sample by sample."""

    differ: Pairs = field(default_factory=list)  # of one shape, and not the same
    problems: list[tuple[int, int, str]] = field(default_factory=list)  # shape, dtype, NaN
    largest: float = 0.0
    relative: float = 0.0
    exact: float | None = 0.0  # of the bytes behind the numbers; None: they are not bytes


def check_data(sides: Sides, folder: Path, images: Images) -> Verdict:
    """Compare classes, order, labels, batches and numbers of `val`; `folder` is for scratch files.

    A side that cannot read the images makes it an error.
    """
    return check_split("data", "val", sides, folder, images)


def check_split(name: str, split: str, sides: Sides, folder: Path, images: Images) -> Verdict:
    """Return the verdict of a checkpoint on what both sides read of a split."""

    def check(traced: bool) -> Verdict:
        return compare(name, read(sides, folder, images, split, traced), split, images)

    return timed(name, partial(with_lines, check))


def compare(name: str, both: dict[str, Stream], split: str, images: Images) -> Verdict:
    """Return the verdict on what both sides read of a split."""
    changed = to_mend({side: stream.side for side, stream in both.items()})
    right = next(side for side in FRAMEWORKS if side != changed)
    streams = Streams(both[right], both[changed], split, images)
    numbers = compare_numbers(streams)
    causes = find_causes(streams, numbers)
    verdict = Verdict(name)
    verdict.float32 = numbers.relative if math.isfinite(numbers.relative) else None
    verdict.float64 = numbers.exact if streams.pairs else None
    rows = [["where", "cause", "fix"]]
    for cause in causes:
        verdict.blame(cause)
        rows.append([cause.where, cause.cause, cause.fix])
    if causes[1:]:
        verdict.details.append({"title": ALSO_FOUND, "table": [rows[0], *rows[2:]]})
    if causes:
        verdict.details += _first_difference(streams, numbers)
    verdict.details.append({"title": COMPARED, "table": _counts(streams, numbers)})
    return verdict


def compare_numbers(streams: Streams) -> Numbers:
    """Compare the numbers of every pair of samples that show the same file."""
    numbers = Numbers()
    constants = None
    for i, j in streams.pairs:
        right, other = streams.right.image(i), streams.other.image(j)
        if problem := problem_of(right, other, streams):
            numbers.problems.append((i, j, problem))
            continue
        difference, largest = float(np.abs(right - other).max()), float(np.abs(right).max())
        numbers.largest = max(numbers.largest, difference)
        numbers.relative = max(numbers.relative, difference / (largest or 1.0))
        if difference > ROUNDING:
            numbers.differ.append((i, j))
        constants = constants or pixels.find_constants(streams.right.images([i]))
        exact = constants and _exact(right, other, constants)
        if exact is None or numbers.exact is None:
            numbers.exact = None
        else:
            numbers.exact = max(numbers.exact, exact / (largest or 1.0))
    return numbers


def problem_of(right: np.ndarray, other: np.ndarray, streams: Streams) -> str | None:
    """Return what makes two samples incomparable, or None."""
    if right.shape != other.shape:
        theirs, ours = f"shape {list(other.shape)}", list(right.shape)
        return f"{theirs} in {streams.other}, {ours} in {streams.right}"
    if right.dtype != other.dtype:
        return f"{other.dtype} in {streams.other}, {right.dtype} in {streams.right}"
    for array, side in ((other, streams.other), (right, streams.right)):
        if not np.isfinite(array).all():
            return f"NaN or infinity in {side}"
    return None


def _exact(right: np.ndarray, other: np.ndarray, constants: Constants) -> float | None:
    """Return the largest difference in exact arithmetic, where both [3, S, S] are of bytes."""
    both = constants.to_bytes(np.stack([right, other]).astype(np.float64))
    right, other = np.round(both)
    if np.abs(both - [right, other]).max() > pixels.LEFT_OVER:
        return None
    steps = np.abs(right - other).max((1, 2))  # [3]
    return float((steps / 255 / np.array(constants.std)).max())


def find_causes(streams: Streams, numbers: Numbers) -> list[Cause]:
    """Return every cause that explains something, the first place first; none where all agree."""
    labels = stream.labels(streams)
    # Other numbers of the classes show in their list too.
    causes = [None if labels else stream.classes(streams)]
    causes += [stream.batches(streams), stream.order(streams), labels]
    causes += [*image_causes(streams, numbers), stream.reading_again(streams)]
    return [cause for cause in causes if cause]


def image_causes(streams: Streams, numbers: Numbers) -> list[Cause]:
    """Return why the numbers of the same images differ; none where they do not."""
    if numbers.problems:
        return [_problem(streams, *numbers.problems[0])]
    if not numbers.differ:
        return []
    differ = numbers.differ
    constants = pixels.find_constants(streams.right.images([differ[0][0]]))
    causes = []
    if constants is not None:  # the right side's numbers are of bytes that are known
        causes = pixels.explain(streams, differ, constants)
        if not causes and streams.split == "train":
            start = streams.pairs.index(differ[0])
            causes = pixels.explain_flips(streams, streams.pairs[start:][:MOST], constants)
        causes = causes or [pixels.nearly(streams, differ, constants)]
    if not any(causes):
        causes = [resizing.decoded(streams, differ), resizing.requested(streams, differ)]
    if constants is not None and not any(causes):
        causes = [resizing.made_again(streams, differ, constants)]
    if not any(causes):
        cause = f"the numbers differ by up to {numbers.largest:.3g} in {len(differ)} of "
        cause += f"{len(streams.pairs)} images, in a way that is none of those known here"
        fix = "look at the image of the difference"
        causes = [streams.cause(differ[0][0], cause, fix, "normalize")]
    return [cause for cause in causes if cause]


def _problem(streams: Streams, i: int, j: int, problem: str) -> Cause:
    right = streams.right.image(i)
    fix = f"give the network {right.dtype} numbers of shape {list(right.shape)}"
    lines = ("image_size|Resize|resize", "crop")
    if "shape" not in problem:
        lines = (r"astype|dtype|double|float\b", "to_tensor|normalize")
    elif streams.other.image(j).shape == (*right.shape[1:], right.shape[0]):
        problem += ": the channels are last"
        lines = ("HWC|data_format|transpose|permute", "to_tensor|normalize")
    return streams.cause(i, problem, fix, *lines)


def _first_difference(streams: Streams, numbers: Numbers) -> list[Block]:
    """Return the blocks of a verdict's page that show the first difference in the streams."""
    paired = dict(streams.pairs)
    odd = {*numbers.differ, *((i, j) for i, j, _ in numbers.problems)}
    pair = min(odd, default=None)
    for n, labels in enumerate(zip(streams.right.labels, streams.other.labels, strict=False)):
        if paired.get(n) != n or (n, n) in odd or not np.array_equal(*labels):
            pair = n, n
            break
    if pair is None:
        return []
    samples = streams.right.sample(pair[0]), streams.other.sample(pair[1])
    title = f"The first difference: {streams.right.describe(pair[0])}"
    table = {"title": "How this sample was made", "table": _facts(streams, *pair)}
    return [{"title": title, "samples": samples}, table]


def _facts(streams: Streams, i: int, j: int) -> list[list[str]]:
    """Return what was noted while the sample was made, a row for each fact."""
    both = [(streams.right, i), (streams.other, j)]
    rows = [["", *(str(stream) for stream, _ in both)]]
    rows.append(["file", *(stream.paths[n] or "-" for stream, n in both)])
    facts = [stream.facts[n] for stream, n in both]
    images = [fact.get("decoded") or fact.get("entered") for fact in facts]
    sizes = (i and f"{i['mode']}, {' x '.join(map(str, i['size']))}" for i in images)
    rows.append(["decoded", *(size or "-" for size in sizes)])
    names = {step[0] for stream, n in both for step in stream.made[n]}
    for name in sorted(names):
        rows.append([name, *(_steps(stream.steps(n, name), name) for stream, n in both)])
    return rows


def _steps(steps: list, name: str) -> str:
    words = [str(step).lower().replace("_", " ") for step in steps]
    if name == "resize":
        words = [f"to {size[0]} x {size[1]}, {kind.lower()}" for size, kind in steps]
    elif name == "crop":
        words = [f"left {b[0]}, top {b[1]}, {b[2] - b[0]} x {b[3] - b[1]}" for b in steps if b]
    return "; ".join(words) or "-"


def _counts(streams: Streams, numbers: Numbers) -> list[list[str]]:
    both = sorted((streams.right, streams.other), key=lambda s: FRAMEWORKS.index(s.side.framework))
    same = len(streams.pairs) - len(numbers.differ) - len(numbers.problems)
    return [
        ["", *map(str, both)],
        ["version", *(stream.version for stream in both)],
        ["classes", *(str(len(stream.classes or [])) for stream in both)],
        ["images in each epoch", *(_each(map(sum, stream.sizes)) for stream in both)],
        ["batches", *(_each(map(_batches, stream.sizes)) for stream in both)],
        [SAME, *[f"{same} of {len(streams.pairs)}"] * 2],
        ["read a second time", *("the same" if s.again == 0 else "differs" for s in both)],
    ]


def _each(values: Iterable) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))


def _batches(sizes: list[int]) -> str:
    return f"{len(sizes) - 1} of {sizes[0]}, then {sizes[-1]}" if sizes[1:] else str(sum(sizes))
