"""Why two streams of samples differ as streams: number, batches, order, classes, labels."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from portproof.core.findings import Cause, at, code_of
from portproof.core.streams import Images, Stream
from portproof.diagnose.source_lines import find_line, makers

NEW_EPOCH = r"set_epoch\(|\.epoch\b[^=]*=[^=]"  # a sampler gets the number of the epoch
LABELS = (r"labels?(\[[^\]]*\]|\))+ *[-+%*]", r"\.labels\[", r"sorted\(", "label")
BY_CLASS = "give each image the place of its class among the sorted names"
Pairs = list[tuple[int, int]]  # samples of the right and of the other side


@dataclass(frozen=True)
class Streams:
    """Two streams of one split: `right` is what to go by, `other` what is to be mended."""

    right: Stream
    other: Stream
    split: str
    images: Images

    @cached_property
    def pairs(self) -> Pairs:
        """The samples that show the same file in the same epoch, in the order of `right`.

        Where it is not known which file a sample shows, those of evaluation with the same numbers,
        else those at the same place.
        """
        if self.by_name:
            return self._match(self.right.paths, self.other.paths)
        pairs = self._match(self.right.digests, self.other.digests)
        if self.split == "val" and len(pairs) == len(self.right):
            return pairs
        return [(n, n) for n in range(min(len(self.right), len(self.other)))]

    @property
    def by_name(self) -> bool:
        """Whether it is known of each sample which file it shows."""
        read_twice_alike = not (self.right.again or self.other.again)
        return read_twice_alike and None not in self.right.paths and None not in self.other.paths

    def names(self, epoch: int) -> tuple[list[str], list[str]]:
        """Return the files that both sides show in an epoch, in their order."""
        ours = {i: path or f"image {i}" for i, path in enumerate(self.right.paths)}
        theirs = dict(enumerate(self.other.paths))
        if not self.by_name:
            theirs = {j: ours[i] for i, j in self.pairs}
        return tuple(
            [names.get(n, "another image") for n in np.flatnonzero(side.epochs == epoch).tolist()]
            for names, side in ((ours, self.right), (theirs, self.other))
        )

    def asked(self, pairs: Pairs, name: str) -> Iterator[tuple[int, int, list, list]]:
        """Yield pairs of samples with what both sides asked Pillow for under this name."""
        for i, j in pairs:
            yield i, j, self.right.steps(i, name), self.other.steps(j, name)

    def _match(self, ours: list, theirs: list) -> Pairs:
        samples = defaultdict(list)
        for n, key in enumerate(zip(self.other.epochs, theirs, strict=True)):
            samples[key].append(n)
        keys = enumerate(zip(self.right.epochs, ours, strict=True))
        return [(n, samples[key].pop(0)) for n, key in keys if samples[key]]

    def cause(
        self, where: str | int, cause: str, fix: str, *patterns: str, line: str | None = None
    ) -> Cause:
        """Return a cause with the line to change: `line`, or the first that a pattern finds.

        `where` may be a sample of the right side.
        """
        if isinstance(where, int):
            where = self.right.describe(where)
        line = line or find_line(self.other.side, patterns, self.other.ran)
        return Cause(where, cause, at(line, fix), line)


def batches(streams: Streams) -> Cause | None:
    """Return why the batches have other sizes, or None where they have the same."""
    sizes = enumerate(zip(streams.right.sizes, streams.other.sizes, strict=True))
    differ = (_batches_of(streams, epoch, *both) for epoch, both in sizes if both[0] != both[1])
    return next(differ, None)


def _batches_of(streams: Streams, epoch: int, ours: list[int], theirs: list[int]) -> Cause:
    right, other = streams.right, streams.other
    missing = sum(ours) - sum(theirs)
    where = f"epoch {epoch}, " if streams.split == "train" else ""
    last = f"{where}the last batch"
    sizes = f"of {theirs[0] if theirs else 0} in {other}, of {ours[0]} in {right}"
    if len(set(theirs)) == 1 and 0 < missing < theirs[0]:  # a batch at most, and a smaller one
        cause = f"{other} leaves the last batch out, of {missing} images (drop_last)"
        if theirs[0] != ours[0]:
            cause += f", and its batches are {sizes}"
        lines = (r"drop_last\s*=\s*True", "drop_last", "// *self.batch_size", *makers(other.ran))
        fix = "keep the last batch: drop_last=False"
        return streams.cause(last, cause, fix, *lines, "BatchSampler|Batches")
    if missing == 0:
        where += f"batch {first_other(ours, theirs)}"
        cause, fix = f"the batches are {sizes}", f"make batches of {ours[0]}"
        lines = (*makers(other.ran), r"batch_size\W", "BatchSampler")
        return streams.cause(where, cause, fix, *lines)
    if theirs[: len(ours) - 1] == ours[:-1] and missing < 0:
        cause = f"{other} fills the last batch up with {-missing} images that it has shown"
        fix = "let the last batch be smaller"
        return streams.cause(last, cause, fix, "batch_sampler", "Batches|Sampler")
    cause = f"{sum(theirs)} images in {other}, {sum(ours)} in {right}"
    shown, other_shown = set(right.paths) - {None}, set(other.paths) - {None}
    lost, extra = sorted(shown - other_shown), sorted(other_shown - shown)
    if None not in other.paths and lost:
        endings = ", ".join(sorted({name.rpartition(".")[2] for name in lost}))
        cause += f"; {len(lost)} are missing, the first {lost[0]} (of type {endings})"
    elif None not in right.paths and extra:
        cause += f"; {len(extra)} are too many, the first {extra[0]}"
    fix = "read the same files, each once in an epoch"
    lines = (r"listdir|scandir|iterdir|glob\(|walk\(", "index|paths|files")
    return streams.cause(f"{where}number of images", cause, fix, *lines)


def order(streams: Streams) -> Cause | None:
    """Return why the images come in another order, or None where they come in the same."""
    right, other = streams.right, streams.other
    if not streams.by_name and streams.split == "train":
        return None
    for epoch in range(len(right.sizes)):
        ours, theirs = streams.names(epoch)
        if len(ours) != len(theirs):  # some are missing on one side
            common = set(ours) & set(theirs)
            ours, theirs = ([n for n in names if n in common] for names in (ours, theirs))
        first = first_other(ours, theirs)
        if first is None:
            continue
        where = right.describe(int(np.searchsorted(right.epochs, epoch)) + first)
        where += f": {theirs[first]} in {other}"
        if set(ours) != set(theirs) and len(ours) == len(theirs):
            cause = f"{other} leaves {len(set(ours) - set(theirs))} of the epoch's images out, "
            cause += f"and shows {len(theirs) - len(set(theirs))} a second time"
            fix = "show every image once in an epoch"
            return streams.cause(where, cause, fix, "Sampler|shuffle")
        if streams.split == "val":
            return _evaluation_order(streams, where, theirs)
        return _training_order(streams, epoch, where)
    return None


def first_other(ours: list, theirs: list) -> int | None:
    """Return where two lists first differ, as far as both go; None where they do not."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((n for n, pair in pairs if pair[0] != pair[1]), None)


def _natural(path: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def _evaluation_order(streams: Streams, where: str, theirs: list[str]) -> Cause:
    other = streams.other
    sorted_by = {
        "by the numbers in their names": _natural,
        "by name without regard to capitals": str.lower,
        "by file name alone, whatever the class": lambda path: path.rpartition("/")[2],
    }
    for words, key in sorted_by.items():
        if sorted(theirs, key=key) == theirs:
            cause, fix = f"{other} sorts the images {words}", "sort by class, then by name"
            return streams.cause(where, cause, fix, "sorted", "index_")
    fix = "evaluate in the order of the folder"
    if sorted(theirs, reverse=True) == theirs:
        cause = f"{other} evaluates in reverse order"
        return streams.cause(where, cause, fix, "revers|::-1", r"\.paths\[")
    cause = f"evaluation is shuffled in {other}"
    if other.again:
        cause += ", in another way at each reading"
    lines = (*makers(other.ran), r"shuffle\s*=", "shuffle", "Sampler|Batches")
    return streams.cause(where, cause, f"{fix}: shuffle only for train", *lines)


def _training_order(streams: Streams, epoch: int, where: str) -> Cause:
    right, other = streams.right, streams.other
    theirs = other.positions(epoch)
    lines = ("shuffle|epoch", "Sampler|Batches")
    if theirs == sorted(theirs):
        cause = f"train is not shuffled in {other}"
        return streams.cause(where, cause, "shuffle train", r"shuffle\s*=", *lines)
    if epoch and theirs == other.positions(0) and right.positions(epoch) != right.positions(0):
        cause = f"{other} shows every epoch in the same order: its loader is not told the epoch"
        fix = "set the sampler's epoch before each epoch"
        return streams.cause(where, cause, fix, NEW_EPOCH, *lines)
    cause = f"{other} shuffles train by other draws than {right}"
    fix = f"draw the order {as_drawn(right, right.orders[epoch])}"
    if other.again:
        cause = f"{other} draws the order anew at each reading, not from the seed"
    elif words := describe_arguments(other_arguments(right.orders[epoch], other.orders[epoch])):
        cause = f"the order of epoch {epoch} is {words} in {other}"
        fix, lines = "pass the run's seed and the epoch on", (*makers(other.ran), NEW_EPOCH, *lines)
    return streams.cause(where, cause, fix, *lines)


def as_drawn(stream: Stream, draw: dict | None) -> str:
    """Return whose draw is to be followed, with its code where the port tells of it."""
    code = code_of(draw["line"]) if draw and draw["line"] else ""
    return f"as {stream} does" + (f" (`{code}`)" if code else "")


def other_arguments(ours: dict | None, theirs: dict | None) -> dict[str, tuple[Any, Any]]:
    """Return the arguments, (other side's, right side's), known to differ between two draws."""
    if not ours or not theirs:
        return {}
    left, right = theirs["arguments"], ours["arguments"]
    pairs = {name: (left.get(name), right.get(name)) for name in left | right}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def describe_arguments(arguments: dict[str, tuple[Any, Any]]) -> str:
    """Return words for the arguments that other_arguments returns; none for nothing."""
    theirs, ours = (
        ", ".join(f"{name}={pair[n]}" for name, pair in arguments.items() if pair[n] is not None)
        for n in range(2)
    )
    return f"drawn with {theirs}, not {ours}" if arguments else ""


def labels(streams: Streams) -> Cause | None:
    """Return why the same images have other labels, or None where they have the same."""
    right, other = streams.right, streams.other
    pairs = np.array(streams.pairs, dtype=np.int64).reshape(-1, 2)
    ours, theirs = right.labels[pairs[:, 0]], other.labels[pairs[:, 1]]
    if ours.shape != theirs.shape or None in {right.label_type[0], other.label_type[0]}:
        return _label_types(streams)
    differ = np.flatnonzero(np.any(ours != theirs, axis=tuple(range(1, ours.ndim))))
    if not len(differ):
        return _label_types(streams)
    n = int(differ[0])
    where = right.describe(int(pairs[n, 0]))
    where += f": label {theirs[n]} in {other}, {ours[n]} in {right}"
    cause, fix = f"{len(differ)} of {len(ours)} labels differ", BY_CLASS
    if ours.ndim > 1 or not {ours.dtype.kind, theirs.dtype.kind} <= set("iu"):  # no classes
        return streams.cause(where, cause, f"give the labels of {right}", *LABELS)
    count = len(right.classes or []) or int(ours.max()) + 1
    steps = set((theirs - ours).tolist())
    length = min(len(right), len(other))
    moved = (pairs[:, 0] != pairs[:, 1]).any()
    classes = {old: set(theirs[ours == old].tolist()) for old in np.unique(ours).tolist()}
    if len({step % count for step in steps}) == 1:
        around = "" if len(steps) == 1 else f", modulo {count}"
        cause = f"labels are shifted by {theirs[n] - ours[n]:+d} in {other}{around}"
        fix = "count the classes from 0"
    elif moved and np.array_equal(right.labels[:length], other.labels[:length]):
        cause = f"labels stay where they were while {other} moves the images"
        fix = "move both together"
    elif all(len(new) == 1 for new in classes.values()):
        names = right.classes or list(map(str, range(count)))
        return _renumbered(streams, where, {old: min(new) for old, new in classes.items()}, names)
    else:
        cause += ", with no rule from class to class"
        if len(differ) > len(ours) / 2:
            cause += f": in {other} they do not belong to the images"
    return streams.cause(where, cause, fix, *LABELS)


def _label_types(streams: Streams) -> Cause | None:
    """Return how dtype or shape of the labels differ, or None where they are the same."""
    right, other = streams.right, streams.other
    if right.label_type == other.label_type:
        return None
    theirs, ours = (
        f"{dtype or 'not there'} [N{''.join(f', {size}' for size in shape)}]"
        for dtype, shape in (other.label_type, right.label_type)
    )
    cause = f"labels are {theirs} in {other}, {ours} in {right}"
    fix = "give the labels as a vector of int64"
    return streams.cause("batch 0", cause, fix, r"array\(labels|labels\)")


def _renumbered(streams: Streams, where: str, classes: dict[int, int], names: list[str]) -> Cause:
    """Return the cause where each class has one other label; `classes`: the right one's to that."""
    other = streams.other
    first = next(old for old, new in classes.items() if old != new)
    example = f"{names[first]} is class {classes[first]} in {other}, {first} in {streams.right}"
    twice = [label for label, count in Counter(classes.values()).items() if count > 1]
    if twice:
        merged = " and ".join(names[old] for old, new in classes.items() if new == twice[0])
        cause = f"in {other} {merged} have the same label, {twice[0]}; {example}"
        return streams.cause(where, cause, BY_CLASS, *LABELS)
    rules = {
        "in reverse": sorted(names, reverse=True),
        "by the numbers in their names": sorted(names, key=_natural),
        "without regard to capitals": sorted(names, key=str.lower),
        "by the length of their names": sorted(names, key=len),
    }
    cause = f"the classes are numbered otherwise in {other}, each one the same way throughout: "
    cause += example
    for words, ordered in rules.items():
        if all(ordered.index(names[old]) == new for old, new in classes.items()):
            cause = f"{other} sorts the classes {words}: {example}"
            break
    lines = (r"sorted\(", r"\.sort\(", "listdir|scandir|iterdir", *LABELS)
    return streams.cause(where, cause, BY_CLASS, *lines)


def classes(streams: Streams) -> Cause | None:
    """Return how the lists of classes differ, or None."""
    right, other = streams.right, streams.other
    if right.classes is None or other.classes is None or right.classes == other.classes:
        return None
    missing = [name for name in right.classes if name not in other.classes]
    extra = [name for name in other.classes if name not in right.classes]
    cause = f"{other} lists the same classes in another order"
    if missing or extra:
        cause = f"{len(other.classes)} classes in {other}, {len(right.classes)} in {right}"
        cause += f"; {missing[0]} is missing" if missing else ""
        cause += f"; {extra[0]} is too many" if extra else ""
    fix = "take the classes from the folder, sorted by name"
    return streams.cause("classes", cause, fix, "classes", r"listdir|scandir|iterdir")


def reading_again(streams: Streams) -> Cause | None:
    """Return the cause if the other side's loader gives something else when it is read again."""
    other = streams.other
    if other.again == 0 or streams.right.again:
        return None
    count = "another number of samples" if other.again is None else f"{other.again} other samples"
    cause = f"{other}'s loader gives {count} when it is read again without workers: what is "
    cause += "drawn depends on more than seed, epoch and sample"
    lines = (r"\brandom\.", r"np\.random|rand\(|shuffle\(", "random", "epoch")
    where, fix = f"{streams.split}, read twice", "draw from seed, epoch and sample alone"
    return streams.cause(where, cause, fix, *lines)
