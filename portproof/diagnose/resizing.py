"""Why the images themselves differ: decoding, resizing, cutting out.

First by what each side asked of Pillow, as far as it asked Pillow at all. Else by doing over what
the other side may have done, from the file, until the very numbers come out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from portproof.core.findings import Cause
from portproof.core.streams import Stream
from portproof.diagnose.pixels import Constants, fit, how_drawn, other_draw
from portproof.diagnose.stream import Streams, as_drawn
from portproof.files.images import read_rgb
from portproof.system.errors import UserError
from portproof.worker.data import describe_image

MOST = 6  # samples that are made again
DRAW, CUT_OUT = "draw it", "cut out the box that is drawn"  # what to do with a crop
CLOSE = 1.01  # bytes: made by other arithmetic, and rounded or not
Kernel = Callable[[np.ndarray], np.ndarray]

PILLOW = {kind.name.lower(): kind for kind in Image.Resampling}


def decoded(streams: Streams, pairs: list[tuple[int, int]]) -> Cause | None:
    """Return why the images differ before anything is done to them, or None where they do not."""
    for (i, j), name in product(pairs, ("decoded", "entered")):
        ours, theirs = streams.right.facts[i].get(name), streams.other.facts[j].get(name)
        if not ours or not theirs or ours == theirs:
            continue
        read_so = "decoded" in streams.other.facts[j]
        if name == "entered" and sorted(ours["size"]) != sorted(theirs["size"]) and read_so:
            continue  # something was done to it that Pillow was not asked for
        where = streams.right.place(i)
        known = _known_decoding(streams.images.folder / (streams.right.paths[i] or ""), theirs)
        other = streams.other.name
        told = f"{_image(theirs)} in {other}, {_image(ours)} in {streams.right.name}"
        cause = f"{other} {known}: {told}" if known else f"{other} decodes other pixels: {told}"
        if "EXIF" not in cause and theirs["mode"] != ours["mode"]:
            cause += "; the mode is not converted to RGB"
        fix = f"decode every image as {streams.right.name} does, to RGB, and leave it as it is"
        return streams.cause(
            where, cause, fix, "exif|Image.open|imread|draft|reduce", r"\bread|decode", "convert"
        )
    return _turned_by_exif(streams, pairs)


def _image(found: dict) -> str:
    return f"{found['mode']} of {' x '.join(map(str, found['size']))}"


def _turned_by_exif(streams: Streams, pairs: list[tuple[int, int]]) -> Cause | None:
    for i, j in pairs:
        ours, theirs = streams.right.steps(i, "transpose"), streams.other.steps(j, "transpose")
        turned = [name for name in theirs if name.startswith(("ROTATE", "TRANSPOSE", "TRANSVERSE"))]
        if turned and turned != ours:
            cause = f"{streams.other.name} turns the image ({turned[0]}), as its EXIF rotation says"
            fix = "apply no EXIF rotation: no published number does"
            lines, line = ("exif|rotate|transpose",), streams.other.step_line(j, "transpose")
            return streams.cause(streams.right.place(i), cause, fix, *lines, line=line)
    return None


def _known_decoding(path: Path, theirs: dict) -> str | None:
    """Return what was done to the file at `path` where it gives the image described."""
    try:
        image = read_rgb(path)
        with Image.open(path) as opened:
            turned = ImageOps.exif_transpose(opened).convert("RGB")
    except (UserError, OSError):
        return None
    pixels = np.asarray(image)
    made = {
        "applies the EXIF rotation": turned,
        "reads the channels in the order BGR, not RGB": pixels[..., ::-1],
        "makes the image grey": image.convert("L").convert("RGB"),
        "mirrors the image as it is decoded": pixels[:, ::-1],
        "turns the image upside down as it is decoded": pixels[::-1],
    }
    for words, one in made.items():
        if describe_image(np.asarray(one))["sha256"] == theirs["sha256"]:
            return words
    return None


def asked(streams: Streams, pairs: list[tuple[int, int]]) -> Cause | None:
    """Return what differs in the sizes, boxes and interpolations that Pillow was asked for."""
    for i, j in pairs:
        ours, theirs = streams.right.steps(i, "resize"), streams.other.steps(j, "resize")
        if not ours or not theirs:
            continue
        where = streams.right.place(i)
        (size, kind), (their_size, their_kind) = ours[-1], theirs[-1]
        names = streams.other.name, streams.right.name
        if kind != their_kind:
            cause = f"the resize's interpolation is {their_kind.lower()} in {names[0]}, "
            cause += f"{kind.lower()} in {names[1]}"
            fix = f"resize with interpolation {kind.lower()}"
            lines, line = ("interpolation|resample", "resize"), streams.other.step_line(j, "resize")
            return streams.cause(where, cause, fix, *lines, line=line)
        if size != their_size:
            return _other_size(streams, i, j, size, their_size)
    if streams.split == "val":
        return _other_centre(streams, pairs)
    return crops(streams, pairs)


def _other_size(
    streams: Streams, right_sample: int, sample: int, size: list, theirs: list
) -> Cause:
    where = streams.right.place(right_sample)
    other, right = streams.other.name, streams.right.name
    shapes = f"to {theirs[0]} x {theirs[1]} in {other}, to {size[0]} x {size[1]} in {right}"
    lines = ("resize",)
    line = streams.other.step_line(sample, "resize")
    wanted = streams.images.image_size if streams.split == "train" else min(size)
    decoded_size = streams.other.facts[sample].get("entered", {}).get("size")
    first = [streams.right.first_step(right_sample), streams.other.first_step(sample)]
    if size == theirs[::-1]:
        cause = f"{other} resizes with width and height exchanged: {shapes}"
    elif streams.split == "train" and theirs[0] != theirs[1]:
        cause = f"{other} gives train images evaluation's preset, without augmentation: resized "
        cause += shapes
        lines, line = (r"(eval|test|valid)\w*\(", "resize"), None
    elif first[0] != first[1]:
        words = {"crop": "cuts out first and resizes then", "resize": "resizes before it cuts out"}
        cause = f"{other} {words.get(first[1], 'works in another order')}: resized {shapes}"
    elif theirs[0] == theirs[1] and size[0] != size[1]:
        cause = f"{other} does not keep the aspect ratio: images are resized {shapes}"
        if theirs[0] == streams.images.image_size:
            cause += " (and nothing is left for the centre crop)"
    elif decoded_size and min(theirs) == min(size):
        cause = f"{other} rounds the longer side otherwise: resized {shapes}"
    else:
        cause = f"{other} resizes the shorter side to {min(theirs)}, not {min(size)}: {shapes}"
    fix = f"resize to {wanted} as {right} does"
    return streams.cause(where, cause, fix, *lines, line=line)


def _other_centre(streams: Streams, pairs: list[tuple[int, int]]) -> Cause | None:
    for i, j in pairs:
        ours, theirs = streams.right.steps(i, "crop"), streams.other.steps(j, "crop")
        if ours and theirs and ours[-1] != theirs[-1]:
            (left, top), (their_left, their_top) = ours[-1][:2], theirs[-1][:2]
            cause = (
                f"the centre crop begins at ({their_top}, {their_left}) in {streams.other.name}, "
            )
            cause += f"at ({top}, {left}) in {streams.right.name} (top, left; pixels)"
            where, fix = streams.right.place(i), "cut out the centre"
            line = streams.other.step_line(j, "crop")
            return streams.cause(where, cause, fix, "crop", line=line)
    return None


@dataclass(frozen=True)
class Boxes:
    """The boxes that one side cut out of its images: [N, 4] (left, top, width, height)."""

    boxes: np.ndarray
    sizes: np.ndarray  # [N, 2], width and height of the image

    @property
    def area(self) -> np.ndarray:
        return self.boxes[:, 2:].prod(1) / self.sizes.prod(1)

    @property
    def aspect(self) -> np.ndarray:
        return self.boxes[:, 2] / np.maximum(self.boxes[:, 3], 1)

    @property
    def central(self) -> bool:
        middle = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        return bool((np.abs(middle - self.sizes / 2) <= 1).all())

    def __str__(self) -> str:
        area, aspect = self.area, self.aspect
        return (
            f"area {area.min():.2f} to {area.max():.2f} of the image, "
            f"aspect ratio {aspect.min():.2f} to {aspect.max():.2f}"
        )


def crops(streams: Streams, pairs: list[tuple[int, int]]) -> Cause | None:
    """Return why other boxes are cut out of train's images, or None where they are the same."""
    boxes = [(_box(streams.right, i), _box(streams.other, j)) for i, j in pairs]
    known = [n for n, (a, _) in enumerate(boxes) if a is not None]
    differ = [n for n in known if boxes[n][0] != boxes[n][1]]
    if not differ:
        return None
    first = pairs[differ[0]]
    where, other = streams.right.place(first[0]), streams.other.name
    line = streams.other.step_line(first[1], "crop")
    if all(boxes[n][1] is None for n in differ):
        cause = f"the random crop is missing: {other} uses the whole image"
        line = streams.other.step_line(first[1], "resize")
        return streams.cause(where, cause, "cut out `crop` first", "resize", line=line)
    both = [n for n in differ if boxes[n][1] is not None]
    right = Boxes(*_arrays(streams.right, [(pairs[n][0], boxes[n][0]) for n in both]))
    theirs = Boxes(*_arrays(streams.other, [(pairs[n][1], boxes[n][1]) for n in both]))
    if (theirs.boxes == right.boxes[:, [1, 0, 3, 2]]).all():
        cause = f"rows and columns of the crop are exchanged in {other}"
        fix = "give top, left, height, width"
        return streams.cause(where, cause, fix, r"crop\(", line=line)
    cause, what_to_do = _other_boxes(streams, [pairs[n] for n in differ], theirs, right)
    draw = streams.other.draw(first[1], "crop")
    if what_to_do.startswith(DRAW) and draw:
        line = draw["line"]
    lines = (r"RandomResizedCrop|RandomCrop|get_params", r"crop\(", "resize")
    fix = f"{what_to_do} {as_drawn(streams.right, streams.right.draw(first[0], 'crop'))}"
    return streams.cause(where, cause, fix, *lines, line=line)


def _other_boxes(
    streams: Streams, pairs: list[tuple[int, int]], theirs: Boxes, right: Boxes
) -> tuple[str, str]:
    """Return in what the boxes of two sides differ, and what to do with the box."""
    other = streams.other.name
    arguments, told = other_draw(streams, pairs, "crop"), how_drawn(streams, pairs, "crop")
    seen = f"{theirs} in {other}, {right} in {streams.right.name}"
    if theirs.central and not right.central:
        return f"the crop is always at the centre in {other}: {seen}", CUT_OUT
    if _alike_in_all_epochs(streams):
        cause = f"{other} draws the same crop in every epoch: the epoch is not passed on"
        return cause + told, f"{DRAW} with the epoch,"
    if arguments:
        names = [name for name in ("area", "aspect") if name in arguments]
        how = f"has another range of {' and '.join(names)}" if names else "is drawn otherwise"
        return f"the random crop {how} in {other}: {seen}{told}", DRAW
    if len(np.unique(theirs.boxes[:, 2:], axis=0)) == 1:
        width, height = theirs.boxes[0, 2:]
        return f"the crop has a fixed size in {other}, {width} x {height}: {seen}", CUT_OUT
    if ranges := _other_ranges(theirs, right):
        words = " and ".join(ranges)
        return f"the random crop has another range of {words} in {other}: {seen}", DRAW
    cause = f"the boxes of the random crop are drawn from another stream in {other}: {seen}"
    return cause + told, CUT_OUT


def _alike_in_all_epochs(streams: Streams) -> bool:
    """Return whether the other side has one box for each file, where the right one has several."""
    boxes: dict[str, tuple[set, set]] = {}
    for i, j in streams.pairs:
        both = boxes.setdefault(streams.right.paths[i], (set(), set()))
        both[0].add(_box(streams.right, i))
        both[1].add(_box(streams.other, j))
    several = any(len(right) > 1 for right, _ in boxes.values())
    return several and all(len(theirs) == 1 for _, theirs in boxes.values())


def _other_ranges(theirs: Boxes, right: Boxes) -> list[str]:
    """Return of what the boxes of two draws are unlikely to have the same range."""
    logarithms = np.log(theirs.aspect), np.log(right.aspect)
    names = []
    for name, (a, b) in (("area", (theirs.area, right.area)), ("aspect", logarithms)):
        spread = max(np.ptp(b), 1e-6)
        if abs(a.min() - b.min()) > 0.15 * spread or abs(a.max() - b.max()) > 0.15 * spread:
            names.append(name)
    return names


def _box(stream: Stream, sample: int) -> tuple[int, int, int, int] | None:
    """Return (left, top, width, height) of the first crop of a sample."""
    found = stream.steps(sample, "crop")
    if not found:
        return None
    left, top, right, bottom = found[0]
    return left, top, right - left, bottom - top


def _arrays(stream: Stream, found: list[tuple[int, tuple]]) -> tuple[np.ndarray, np.ndarray]:
    sizes = [stream.facts[n].get("entered", {}).get("size", [1, 1]) for n, _ in found]
    return np.array([box for _, box in found]).reshape(-1, 4), np.array(sizes).reshape(-1, 2)


def made_again(
    streams: Streams, pairs: list[tuple[int, int]], constants: Constants
) -> Cause | None:
    """Make the images again from their files in other ways; return the way that gives the other
    side's numbers, else the one that comes nearest. None: the files are not known.
    """
    chosen = [pair for pair in pairs if streams.right.paths[pair[0]]][:MOST]
    distances: dict[str, list[float]] = {}
    for i, j in chosen:
        target = streams.other.images([j])
        for words, pixels in _ways(streams, i, constants.to_bytes(target)[0]):
            for order, image in (("", pixels), (", channels in the order BGR", pixels[..., ::-1])):
                distance = _distance(image, target, constants)
                distances.setdefault(words + order, []).append(distance)
    complete = {
        words: max(found) for words, found in distances.items() if len(found) == len(chosen)
    }
    if not complete:
        return None
    best = min(complete, key=complete.__getitem__)
    where, other = streams.right.place(chosen[0][0]), streams.other.name
    lines = ("interpolat|resize", "crop", "resize")
    if complete[best] <= CLOSE:
        how = "to the byte" if complete[best] <= 0.05 else "to a byte, before or after rounding"
        cause = f"another resize in {other}: its numbers are those of {best} ({how})"
    else:
        cause = f"the pixels differ in {other}; of what was tried, {best} comes nearest, to "
        cause += f"{complete[best]:.1f} of 255"
    fix = f"resize as {streams.right.name} does: Pillow, bilinear, the shorter side"
    if streams.split == "train":
        fix = f"resize as {streams.right.name} does: Pillow, bilinear, the box that was drawn"
    return streams.cause(where, cause, fix, *lines)


def _distance(pixels: np.ndarray, target: np.ndarray, constants: Constants) -> float:
    """Return by how many bytes, at most, numbers [1, 3, S, S] are off from these pixels."""
    candidate = pixels.transpose(2, 0, 1)[None].astype(np.float64)
    plain = float(np.abs(constants.to_bytes(target) - candidate).max())
    return min(plain, fit(candidate, target).left_over)


def _ways(streams: Streams, sample: int, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield images [S, S, 3] made of the file of a sample in each way that is tried."""
    image = read_rgb(streams.images.folder / streams.right.paths[sample])
    size = streams.images.image_size
    box = _box(streams.right, sample)
    flipped = "FLIP_LEFT_RIGHT" in streams.right.steps(sample, "transpose")
    if streams.split == "train" and box is not None:
        left, top, width, height = box
        image = image.crop((left, top, left + width, top + height))
        for words, made in _resized(image, (size, size)):
            yield words, made[:, ::-1] if flipped else made
        return
    shorter = streams.images.resize_size
    for goal in dict.fromkeys((shorter, size, 256, shorter - 1, shorter + 1, round(size / 0.875))):
        if goal < size:
            continue
        scale = goal / min(image.size)
        shape = [goal if side == min(image.size) else int(side * scale) for side in image.size]
        for words, made in _resized(image, tuple(shape)):
            yield f"{words}, shorter side {goal}", _centre(made, size)
        for words, made in _resized(image, (goal, goal)):
            yield f"{words} to {goal} x {goal}, aspect ratio not kept", _centre(made, size)


def _resized(image: Image.Image, shape: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    for name, kind in PILLOW.items():
        yield f"Pillow's {name}", np.asarray(image.resize(shape, kind))
    pixels = np.asarray(image)
    for name, kernel in KERNELS.items():
        yield (
            f"{name} without antialiasing (cv2's, or the framework's interpolate)",
            sampled(pixels, shape, kernel),
        )
    yield (
        "bilinear without antialiasing, corners aligned",
        sampled(pixels, shape, KERNELS["bilinear"], corners=True),
    )
    rows, columns = (
        np.minimum((np.arange(new, dtype=np.float32) * np.float32(old / new)).astype(int), old - 1)
        for new, old in zip(shape[::-1], pixels.shape[:2], strict=True)
    )
    yield "nearest, rounded down (cv2's, or the framework's interpolate)", pixels[rows][:, columns]


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


KERNELS = {"bilinear": _linear, "bicubic": _cubic}


def sampled(
    pixels: np.ndarray, shape: tuple[int, int], kernel: Kernel, corners: bool = False
) -> np.ndarray:
    """Resize [H, W, C] to shape (width, height) from the nearest pixels alone, in float64.

    `kernel` gives a pixel's weight by its distance; `corners`: the outermost pixels stay in place.
    """
    result = pixels.astype(np.float64)
    for axis, new in ((0, shape[1]), (1, shape[0])):
        old = result.shape[axis]
        if corners:
            place = np.arange(new) * ((old - 1) / max(new - 1, 1))
        else:
            place = (np.arange(new) + 0.5) * (old / new) - 0.5
        parts = 0.0
        for step in (-1, 0, 1, 2):
            source = np.floor(place).astype(int) + step
            weight = kernel(place - source).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
            parts = parts + result.take(np.clip(source, 0, old - 1), axis) * weight
        result = parts
    return np.clip(result, 0, 255)


def _centre(pixels: np.ndarray, size: int) -> np.ndarray:
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]
