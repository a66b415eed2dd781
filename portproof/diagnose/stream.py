"""Why two streams of samples differ as streams: number, batches, order, classes, labels."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from portproof.core.findings import Cause, at, code_of
from portproof.core.streams import Images, Stream
from portproof.diagnose.source_lines import find_line, makers

TOLD_EPOCH = r"set_epoch\(|\.epoch\b[^=]*=[^=]"  # a sampler is told the epoch


@dataclass(frozen=True)
class Streams:
    """Two streams of one split: `right` is what to go by, `other` what is to be mended."""

    right: Stream
    other: Stream
    split: str
    images: Images

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """The samples that show the same file in the same epoch, in the order of `right`.

        Where it is not known which file a sample shows, those of evaluation with the same numbers,
        else those at the same place.
        """
        if self.by_name:
            return self._match(self.right.paths, self.other.paths)
        found = self._match(self.right.digests, self.other.digests)
        if self.split == "val" and len(found) == len(self.right):
            return found
        return [(n, n) for n in range(min(len(self.right), len(self.other)))]

    @property
    def by_name(self) -> bool:
        """Whether it is known of each sample which file it shows."""
        read_twice_alike = not (self.right.again or self.other.again)
        return read_twice_alike and None not in self.right.paths and None not in self.other.paths

    def names(self, epoch: int) -> tuple[list[str], list[str]]:
        """Return the files that both sides show in an epoch, in their order."""
        ours = {i: self.right.paths[i] or f"image {i}" for i in range(len(self.right))}
        if self.by_name:
            theirs = dict(enumerate(self.other.paths))
        else:
            theirs = {j: ours[i] for i, j in self.pairs}
        return tuple(
            [names.get(n, "another image") for n in np.flatnonzero(side.epochs == epoch).tolist()]
            for names, side in ((ours, self.right), (theirs, self.other))
        )

    def _match(self, ours: list, theirs: list) -> list[tuple[int, int]]:
        places: dict[tuple, list[int]] = {}
        for n, key in enumerate(zip(self.other.epochs, theirs, strict=True)):
            places.setdefault(key, []).append(n)
        keys = enumerate(zip(self.right.epochs, ours, strict=True))
        return [(n, places[key].pop(0)) for n, key in keys if places.get(key)]

    def cause(
        self,
        where: str,
        cause: str,
        fix: str,
        *patterns: str,
        line: str | None = None,
    ) -> Cause:
        """Return a cause with the line to change: the one given, or the first a pattern finds."""
        line = line or find_line(self.other.side, patterns, self.other.ran)
        return Cause(where, cause, at(line, fix), line)


def batches(streams: Streams) -> Cause | None:
    """Return why the batches have other sizes, or None where they have the same."""
    right, other = streams.right, streams.other
    for epoch, (ours, theirs) in enumerate(zip(right.sizes, other.sizes, strict=True)):
        if ours != theirs:
            return _batches_of(streams, epoch, ours, theirs)
    return None


def _batches_of(streams: Streams, epoch: int, ours: list[int], theirs: list[int]) -> Cause:
    right, other = streams.right.name, streams.other.name
    first = next((n for n, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), None)  # noqa: B905
    total, kept = sum(ours), sum(theirs)
    place = f"epoch {epoch}, " if streams.split == "train" else ""
    sizes = f"of {theirs[0] if theirs else 0} in {other}, of {ours[0]} in {right}"
    full = len(set(theirs)) == 1 and 0 < total - kept < theirs[0]
    if full:  # at most a batch is missing, and it would be a smaller one
        cause = f"{other} leaves the last batch out, of {total - kept} images (drop_last)"
        if theirs[0] != ours[0]:
            cause += f", and its batches are {sizes}"
        fix = "keep the last batch: drop_last=False"
        lines = (
            r"drop_last\s*=\s*True",
            "drop_last",
            "// *self.batch_size",
            *makers(streams.other.ran),
            "BatchSampler|Batches",
        )
        return streams.cause(place + "the last batch", cause, fix, *lines)
    if kept == total:
        place += f"batch {first}"
        cause = f"the batches are {sizes}"
        fix = f"make batches of {ours[0]}"
        lines = (*makers(streams.other.ran), r"batch_size\W", "BatchSampler")
        return streams.cause(place, cause, fix, *lines)
    if theirs[: len(ours) - 1] == ours[:-1] and kept > total:
        cause = f"{other} fills the last batch up with {kept - total} images that it has shown"
        fix = "let the last batch be smaller"
        return streams.cause(
            place + "the last batch", cause, fix, "batch_sampler", "Batches|Sampler"
        )
    return _other_number(streams, place, total, kept)


def _other_number(streams: Streams, place: str, total: int, kept: int) -> Cause:
    right, other = streams.right, streams.other
    cause = f"{kept} images in {other.name}, {total} in {right.name}"
    missing = sorted(set(right.paths) - set(other.paths) - {None})
    extra = sorted(set(other.paths) - set(right.paths) - {None})
    if None not in other.paths and missing:
        endings = ", ".join(sorted({name.rpartition(".")[2] for name in missing}))
        cause += f"; {len(missing)} are missing, the first {missing[0]} (of type {endings})"
    elif None not in right.paths and extra:
        cause += f"; {len(extra)} are too many, the first {extra[0]}"
    fix = "read the same files, each once in an epoch"
    lines = (r"listdir|scandir|iterdir|glob\(|walk\(", "index|paths|files")
    return streams.cause(place + "number of images", cause, fix, *lines)


def order(streams: Streams) -> Cause | None:
    """Return why the images come in another order, or None where they come in the same."""
    right, other = streams.right, streams.other
    if not streams.by_name and streams.split == "train":
        return None
    for epoch in range(len(right.sizes)):
        ours, theirs = streams.names(epoch)
        if len(ours) != len(theirs):  # some are missing on one side
            common = set(ours) & set(theirs)
            ours, theirs = ([name for name in one if name in common] for one in (ours, theirs))
        differ = [n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]]
        if not differ:
            continue
        first = differ[0]
        where = right.place(int(np.searchsorted(right.epochs, epoch)) + first)
        where += f": {theirs[first]} in {other.name}"
        if set(ours) != set(theirs) and len(ours) == len(theirs):
            cause = (
                f"{other.name} leaves {len(set(ours) - set(theirs))} of the epoch's images out, "
            )
            cause += f"and shows {len(theirs) - len(set(theirs))} a second time"
            return streams.cause(
                where, cause, "show every image once in an epoch", "Sampler|shuffle"
            )
        if streams.split == "val":
            return _evaluation_order(streams, where, theirs)
        return _training_order(streams, epoch, where)
    return None


def _natural(path: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]


def _evaluation_order(streams: Streams, where: str, theirs: list[str]) -> Cause:
    name = streams.other.name
    sorted_by = {
        "by the numbers in their names": _natural,
        "by name without regard to capitals": str.lower,
        "by file name alone, whatever the class": lambda path: path.rpartition("/")[2],
    }
    for words, key in sorted_by.items():
        if sorted(theirs, key=key) == theirs:
            cause = f"{name} sorts the images {words}"
            return streams.cause(where, cause, "sort by class, then by name", "sorted", "index_")
    fix = "evaluate in the order of the folder"
    lines = ("revers|::-1", r"\.paths\[")
    if sorted(theirs, reverse=True) == theirs:
        return streams.cause(where, f"{name} evaluates in reverse order", fix, *lines)
    cause = f"evaluation is shuffled in {name}"
    if streams.other.again:
        cause += ", in another way at each reading"
    fix += ": shuffle only for train"
    lines = (*makers(streams.other.ran), r"shuffle\s*=", "shuffle", "Sampler|Batches")
    return streams.cause(where, cause, fix, *lines)


def places_by_epoch(stream: Stream) -> list[list[int]]:
    """Return the places in the data set in the order in which each epoch shows them."""
    places = np.array(stream.places)
    return [places[stream.epochs == epoch].tolist() for epoch in range(len(stream.sizes))]


def _training_order(streams: Streams, epoch: int, where: str) -> Cause:
    right, other = streams.right, streams.other
    ours, theirs = places_by_epoch(right), places_by_epoch(other)
    lines = ("shuffle|epoch", "Sampler|Batches")
    if theirs[epoch] == sorted(theirs[epoch]):
        cause = f"train is not shuffled in {other.name}"
        return streams.cause(where, cause, "shuffle train", r"shuffle\s*=", *lines)
    if epoch and theirs[epoch] == theirs[0] and ours[epoch] != ours[0]:
        cause = (
            f"{other.name} shows every epoch in the same order: its loader is not told the epoch"
        )
        fix = "set the sampler's epoch before each epoch"
        return streams.cause(where, cause, fix, TOLD_EPOCH, *lines)
    fix = f"draw the order {as_drawn(right, right.orders[epoch])}"
    if other.again:
        cause = f"{other.name} draws the order anew at each reading, not from the seed"
        return streams.cause(where, cause, fix, *lines)
    if told := tell_arguments(other_arguments(right.orders[epoch], other.orders[epoch])):
        cause = f"the order of epoch {epoch} is {told} in {other.name}"
        tell = (*makers(other.ran), TOLD_EPOCH)
        return streams.cause(where, cause, "pass the run's seed and the epoch on", *tell, *lines)
    cause = f"{other.name} shuffles train by other draws than {right.name}"
    return streams.cause(where, cause, fix, *lines)


def as_drawn(stream: Stream, draw: dict | None) -> str:
    """Return whose draw is to be followed, with its code where the port tells of it."""
    code = code_of(draw["line"]) if draw and draw["line"] else ""
    return f"as {stream.name} does" + (f" (`{code}`)" if code else "")


def other_arguments(ours: dict | None, theirs: dict | None) -> dict[str, tuple[Any, Any]]:
    """Return the arguments, (other side's, right side's), in which two draws differ.

    Empty also where a port does not tell of them.
    """
    if not ours or not theirs:
        return {}
    both = theirs["arguments"], ours["arguments"]
    values = {name: tuple(one.get(name) for one in both) for name in both[0] | both[1]}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


def tell_arguments(arguments: dict[str, tuple[Any, Any]]) -> str:
    """Return words for what other_arguments found; none for nothing."""
    if not arguments:
        return ""
    theirs, ours = (
        ", ".join(f"{name}={pair[n]}" for name, pair in arguments.items() if pair[n] is not None)
        for n in range(2)
    )
    return f"drawn with {theirs}, not {ours}"


def labels(streams: Streams) -> Cause | None:
    """Return why the same images have other labels, or None where they have the same."""
    right, other = streams.right, streams.other
    pairs = np.array(streams.pairs, dtype=np.int64).reshape(-1, 2)
    ours, theirs = right.labels[pairs[:, 0]], other.labels[pairs[:, 1]]
    lines = (r"labels?(\[[^\]]*\]|\))+ *[-+%*]", r"\.labels\[", r"sorted\(", "label")
    if ours.shape != theirs.shape or None in {right.label_type[0], other.label_type[0]}:
        return _label_types(streams)
    differ = np.flatnonzero(np.any(ours != theirs, axis=tuple(range(1, ours.ndim))))
    if not len(differ):
        return _label_types(streams)
    n = int(differ[0])
    where = right.place(int(pairs[n, 0]))
    where += f": label {theirs[n]} in {other.name}, {ours[n]} in {right.name}"
    if ours.ndim > 1 or not {ours.dtype.kind, theirs.dtype.kind} <= set("iu"):  # no classes
        cause = f"{len(differ)} of {len(ours)} labels differ"
        return streams.cause(where, cause, f"give the labels of {right.name}", *lines)
    count = len(right.classes or []) or int(ours.max()) + 1
    names = right.classes or [str(n) for n in range(count)]
    steps = set((theirs - ours).tolist())
    wrapped = {step % count for step in steps}
    fix = "give each image the place of its class among the sorted names"
    if len(steps) == 1 or len(wrapped) == 1:
        step = theirs[n] - ours[n]
        around = "" if len(steps) == 1 else f", modulo {count}"
        cause = f"labels are shifted by {step:+d} in {other.name}{around}"
        return streams.cause(where, cause, "count the classes from 0", *lines)
    stream_order = min(len(right), len(other))
    moved = any(i != j for i, j in pairs.tolist())
    if moved and np.array_equal(right.labels[:stream_order], other.labels[:stream_order]):
        cause = f"labels stay where they were while {other.name} moves the images"
        return streams.cause(where, cause, "move both together", *lines)
    given = {int(old): sorted(set(theirs[ours == old].tolist())) for old in np.unique(ours)}
    if all(len(new) == 1 for new in given.values()):
        return _renamed(
            streams, where, {old: new[0] for old, new in given.items()}, names, fix, lines
        )
    share = len(differ) / len(ours)
    cause = f"{len(differ)} of {len(ours)} labels differ, with no rule from class to class"
    if share > 0.5:
        cause += f": in {other.name} they do not belong to the images"
    return streams.cause(where, cause, fix, *lines)


def _label_types(streams: Streams) -> Cause | None:
    """Return how dtype or shape of the labels differ, or None where they are the same."""
    right, other = streams.right, streams.other
    if right.label_type == other.label_type:
        return None
    types = [
        f"{stream.label_type[0] or 'not there'} "
        f"[N{''.join(f', {n}' for n in stream.label_type[1])}]"
        for stream in (other, right)
    ]
    cause = f"labels are {types[0]} in {other.name}, {types[1]} in {right.name}"
    fix = "give the labels as a vector of int64"
    return streams.cause("batch 0", cause, fix, r"array\(labels|labels\)")


def _renamed(
    streams: Streams, where: str, given: dict[int, int], names: list[str], fix: str, lines: tuple
) -> Cause:
    """Return the cause where each class has one other label."""
    other = streams.other.name
    example = next(old for old, new in given.items() if old != new)
    told = (
        f"{names[example]} is class {given[example]} in {other}, {example} in {streams.right.name}"
    )
    twice = [label for label, count in Counter(given.values()).items() if count > 1]
    if twice:
        merged = " and ".join(names[old] for old, new in given.items() if new == twice[0])
        cause = f"in {other} {merged} have the same label, {twice[0]}; {told}"
        return streams.cause(where, cause, fix, *lines)
    rules = {
        "in reverse": lambda every: sorted(every, reverse=True),
        "by the numbers in their names": lambda every: sorted(every, key=_natural),
        "without regard to capitals": lambda every: sorted(every, key=str.lower),
        "by the length of their names": lambda every: sorted(every, key=len),
    }
    cause = (
        f"the classes are numbered otherwise in {other}, each one the same way throughout: {told}"
    )
    for words, rule in rules.items():
        places = {name: place for place, name in enumerate(rule(names))}
        if all(places[names[old]] == new for old, new in given.items()):
            cause = f"{other} sorts the classes {words}: {told}"
            break
    return streams.cause(
        where, cause, fix, r"sorted\(", r"\.sort\(", "listdir|scandir|iterdir", *lines
    )


def classes(streams: Streams) -> Cause | None:
    """Return how the lists of classes differ, or None."""
    right, other = streams.right, streams.other
    if right.classes is None or other.classes is None or right.classes == other.classes:
        return None
    missing = [name for name in right.classes if name not in other.classes]
    extra = [name for name in other.classes if name not in right.classes]
    cause = f"{len(other.classes)} classes in {other.name}, {len(right.classes)} in {right.name}"
    if missing:
        cause += f"; {missing[0]} is missing"
    if extra:
        cause += f"; {extra[0]} is too many"
    if not missing and not extra:
        cause = f"{other.name} lists the same classes in another order"
    fix = "take the classes from the folder, sorted by name"
    return streams.cause("classes", cause, fix, "classes", r"listdir|scandir|iterdir")


def reading_again(streams: Streams) -> Cause | None:
    """Return what there is to say where a loader gives something else when it is read again."""
    other = streams.other
    if other.again == 0 or streams.right.again:
        return None
    count = "another number of samples" if other.again is None else f"{other.again} other samples"
    cause = f"{other.name}'s loader gives {count} when it is read again without workers: what is "
    cause += "drawn depends on more than seed, epoch and sample"
    lines = (r"\brandom\.", r"np\.random|rand\(|shuffle\(", "random", "epoch")
    fix = "draw from seed, epoch and sample alone"
    return streams.cause(f"{streams.split}, read twice", cause, fix, *lines)
