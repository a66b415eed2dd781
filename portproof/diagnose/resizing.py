"""Why the images themselves differ: decoding, resizing, cutting out.

First by what each side asked of Pillow, as far as it asked Pillow at all. Else by doing over what
the other side may have done, from the file, until the very numbers come out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from portproof.core.findings import Cause
from portproof.core.streams import Stream
from portproof.diagnose.pixels import Constants, fit, how_drawn, other_draw, was_flipped
from portproof.diagnose.stream import Pairs, Streams, as_drawn
from portproof.files.images import read_rgb
from portproof.system.errors import UserError
from portproof.worker.data import describe_image

MOST = 6  # samples that are made again
DRAW, CUT_OUT = "draw it", "cut out the box that is drawn"  # what to do with a crop
CLOSE = 1.01  # bytes: made by other arithmetic, and rounded or not
Kernel = Callable[[np.ndarray], np.ndarray]
Box = tuple[int, int, int, int]  # left, top, width, height


def decoded(streams: Streams, pairs: Pairs) -> Cause | None:
    """Return why the images differ before anything is done to them, or None where they do not."""
    right, other = streams.right, streams.other
    for (i, j), name in product(pairs, ("decoded", "entered")):
        ours, theirs = right.facts[i].get(name), other.facts[j].get(name)
        if not ours or not theirs or ours == theirs:
            continue
        read_so = "decoded" in other.facts[j]
        if name == "entered" and sorted(ours["size"]) != sorted(theirs["size"]) and read_so:
            continue  # something was done to it that Pillow was not asked for
        known = _known_decoding(streams.images.folder / (right.paths[i] or ""), theirs)
        cause = f"{other} {known or 'decodes other pixels'}: {_describe(theirs)} in {other}, "
        cause += f"{_describe(ours)} in {right}"
        if "EXIF" not in cause and theirs["mode"] != ours["mode"]:
            cause += "; the mode is not converted to RGB"
        fix = f"decode every image as {right} does, to RGB, and leave it as it is"
        lines = ("exif|Image.open|imread|draft|reduce", r"\bread|decode", "convert")
        return streams.cause(i, cause, fix, *lines)
    for i, j, ours, theirs in streams.asked(pairs, "transpose"):
        turned = [name for name in theirs if name.startswith(("ROTATE", "TRANSPOSE", "TRANSVERSE"))]
        if turned and turned != ours:
            cause = f"{other} turns the image ({turned[0]}), as its EXIF rotation says"
            fix = "apply no EXIF rotation: no published number does"
            line = other.step_line(j, "transpose")
            return streams.cause(i, cause, fix, "exif|rotate|transpose", line=line)
    return None


def _describe(image: dict) -> str:
    return f"{image['mode']} of {' x '.join(map(str, image['size']))}"


def _known_decoding(path: Path, theirs: dict) -> str | None:
    """Return what was done to the file at `path` where it gives the image described."""
    try:
        image = read_rgb(path)
        with Image.open(path) as opened:
            turned = ImageOps.exif_transpose(opened).convert("RGB")
    except (UserError, OSError):
        return None
    pixels = np.asarray(image)
    ways = {
        "applies the EXIF rotation": turned,
        "reads the channels in the order BGR, not RGB": pixels[..., ::-1],
        "makes the image grey": image.convert("L").convert("RGB"),
        "mirrors the image as it is decoded": pixels[:, ::-1],
        "turns the image upside down as it is decoded": pixels[::-1],
    }
    for words, made in ways.items():
        if describe_image(np.asarray(made))["sha256"] == theirs["sha256"]:
            return words
    return None


def requested(streams: Streams, pairs: Pairs) -> Cause | None:
    """Return what differs in the sizes, boxes and interpolations that Pillow was asked for."""
    right, other = streams.right, streams.other
    for i, j, ours, theirs in streams.asked(pairs, "resize"):
        if not ours or not theirs:
            continue
        (size, kind), (their_size, their_kind) = ours[-1], theirs[-1]
        if kind != their_kind:
            words = f"{their_kind.lower()} in {other}, {kind.lower()} in {right}"
            cause, line = f"the resize's interpolation is {words}", other.step_line(j, "resize")
            fix = f"resize with interpolation {kind.lower()}"
            return streams.cause(i, cause, fix, "interpolation|resample", "resize", line=line)
        if size != their_size:
            return _other_size(streams, (i, j), size, their_size)
    if streams.split == "train":
        return crops(streams, pairs)
    for i, j, ours, theirs in streams.asked(pairs, "crop"):
        if ours and theirs and ours[-1] != theirs[-1]:
            (left, top), (their_left, their_top) = ours[-1][:2], theirs[-1][:2]
            cause = f"the centre crop begins at ({their_top}, {their_left}) in {other}, "
            cause += f"at ({top}, {left}) in {right} (top, left; pixels)"
            line = other.step_line(j, "crop")
            return streams.cause(i, cause, "cut out the centre", "crop", line=line)
    return None


def _other_size(streams: Streams, pair: tuple[int, int], size: list, theirs: list) -> Cause:
    right, other = streams.right, streams.other
    i, j = pair
    trains = streams.split == "train"
    shapes = f"to {theirs[0]} x {theirs[1]} in {other}, to {size[0]} x {size[1]} in {right}"
    lines, line = ("resize",), other.step_line(j, "resize")
    first = right.first_step(i), other.first_step(j)
    if size == theirs[::-1]:
        cause = f"resizes with width and height exchanged: {shapes}"
    elif trains and theirs[0] != theirs[1]:
        cause = f"gives train images evaluation's preset, without augmentation: resized {shapes}"
        lines, line = (r"(eval|test|valid)\w*\(", "resize"), None
    elif first[0] != first[1]:
        words = {"crop": "cuts out first and resizes then", "resize": "resizes before it cuts out"}
        cause = f"{words.get(first[1], 'works in another order')}: resized {shapes}"
    elif theirs[0] == theirs[1] and size[0] != size[1]:
        cause = f"does not keep the aspect ratio: images are resized {shapes}"
        if theirs[0] == streams.images.image_size:
            cause += " (and nothing is left for the centre crop)"
    elif other.entered_size(j) and min(theirs) == min(size):
        cause = f"rounds the longer side otherwise: resized {shapes}"
    else:
        cause = f"resizes the shorter side to {min(theirs)}, not {min(size)}: {shapes}"
    fix = f"resize to {streams.images.image_size if trains else min(size)} as {right} does"
    return streams.cause(i, f"{other} {cause}", fix, *lines, line=line)


class Boxes:
    """The boxes that one side cut out of the images of some samples; each has one."""

    def __init__(self, stream: Stream, samples: list[int]) -> None:
        # [N, 4], left, top, width, height; [N, 2], width and height of the image
        self.boxes = np.array([_box(stream, n) for n in samples])
        sizes = np.array([stream.entered_size(n) or [1, 1] for n in samples])
        self.area = self.boxes[:, 2:].prod(1) / sizes.prod(1)
        self.aspect = self.boxes[:, 2] / np.maximum(self.boxes[:, 3], 1)
        middle = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        self.central = bool((np.abs(middle - sizes / 2) <= 1).all())

    def __str__(self) -> str:
        area, aspect = (f"{a.min():.2f} to {a.max():.2f}" for a in (self.area, self.aspect))
        return f"area {area} of the image, aspect ratio {aspect}"


def _box(stream: Stream, sample: int) -> Box | None:
    """Return the box of the first crop of a sample."""
    for left, top, right, bottom in stream.steps(sample, "crop")[:1]:
        return left, top, right - left, bottom - top
    return None


def crops(streams: Streams, pairs: Pairs) -> Cause | None:
    """Return why other boxes are cut out of train's images, or None where they are the same."""
    right, other = streams.right, streams.other
    boxes = {(i, j): (_box(right, i), _box(other, j)) for i, j in pairs}
    differ = [pair for pair, (ours, theirs) in boxes.items() if ours and ours != theirs]
    if not differ:
        return None
    i, j = differ[0]
    both = [pair for pair in differ if boxes[pair][1]]
    if not both:
        cause = f"the random crop is missing: {other} uses the whole image"
        line = other.step_line(j, "resize")
        return streams.cause(i, cause, "cut out `crop` first", "resize", line=line)
    ours, theirs = Boxes(right, [i for i, _ in both]), Boxes(other, [j for _, j in both])
    line = other.step_line(j, "crop")
    if (theirs.boxes == ours.boxes[:, [1, 0, 3, 2]]).all():
        cause = f"rows and columns of the crop are exchanged in {other}"
        return streams.cause(i, cause, "give top, left, height, width", r"crop\(", line=line)
    cause, what_to_do = _other_boxes(streams, differ, theirs, ours)
    draw = other.draw(j, "crop")
    if what_to_do.startswith(DRAW) and draw:
        line = draw["line"]
    lines = (r"RandomResizedCrop|RandomCrop|get_params", r"crop\(", "resize")
    fix = f"{what_to_do} {as_drawn(right, right.draw(i, 'crop'))}"
    return streams.cause(i, cause, fix, *lines, line=line)


def _other_boxes(streams: Streams, pairs: Pairs, theirs: Boxes, ours: Boxes) -> tuple[str, str]:
    """Return in what the boxes of two sides differ, and what to do with the box."""
    other = streams.other
    arguments, words = other_draw(streams, pairs, "crop"), how_drawn(streams, pairs, "crop")
    seen = f"{theirs} in {other}, {ours} in {streams.right}"
    if theirs.central and not ours.central:
        return f"the crop is always at the centre in {other}: {seen}", CUT_OUT
    paths = streams.right.paths
    our_boxes = {(paths[i], _box(streams.right, i)) for i, _ in streams.pairs}
    their_boxes = {(paths[i], _box(other, j)) for i, j in streams.pairs}
    if len(their_boxes) == len({path for path, _ in our_boxes}) < len(our_boxes):
        cause = f"{other} draws the same crop in every epoch: the epoch is not passed on"
        return cause + words, f"{DRAW} with the epoch,"
    if arguments:
        names = [name for name in ("area", "aspect") if name in arguments]
        how = f"has another range of {' and '.join(names)}" if names else "is drawn otherwise"
        return f"the random crop {how} in {other}: {seen}{words}", DRAW
    if len(np.unique(theirs.boxes[:, 2:], axis=0)) == 1:
        width, height = theirs.boxes[0, 2:]
        return f"the crop has a fixed size in {other}, {width} x {height}: {seen}", CUT_OUT
    if ranges := _other_ranges(theirs, ours):
        names = " and ".join(ranges)
        return f"the random crop has another range of {names} in {other}: {seen}", DRAW
    cause = f"the boxes of the random crop are drawn from another stream in {other}: {seen}"
    return cause + words, CUT_OUT


def _other_ranges(theirs: Boxes, ours: Boxes) -> list[str]:
    """Return of what the boxes of two draws are unlikely to have the same range."""
    names = []
    aspects = np.log(theirs.aspect), np.log(ours.aspect)
    for name, (a, b) in (("area", (theirs.area, ours.area)), ("aspect", aspects)):
        if max(abs(a.min() - b.min()), abs(a.max() - b.max())) > 0.15 * max(np.ptp(b), 1e-6):
            names.append(name)
    return names


def made_again(streams: Streams, pairs: Pairs, constants: Constants) -> Cause | None:
    """Make the images again from their files in other ways; return the way that gives the other
    side's numbers, else the one that comes nearest. None: the files are not known.
    """
    right, other = streams.right, streams.other
    chosen = [(i, j) for i, j in pairs if right.paths[i]][:MOST]
    distances = defaultdict(list)
    for i, j in chosen:
        target = other.images([j])
        for words, pixels in _ways(streams, i):
            distances[words].append(_distance(pixels, target, constants))
            reversed_words = f"{words}, channels in the order BGR"
            distances[reversed_words].append(_distance(pixels[..., ::-1], target, constants))
    furthest = {words: max(far) for words, far in distances.items() if len(far) == len(chosen)}
    if not furthest:
        return None
    best = min(furthest, key=furthest.__getitem__)
    if furthest[best] <= CLOSE:
        how = "to the byte" if furthest[best] <= 0.05 else "to a byte, before or after rounding"
        cause = f"another resize in {other}: its numbers are those of {best} ({how})"
    else:
        cause = f"the pixels differ in {other}; of what was tried, {best} comes nearest, to "
        cause += f"{furthest[best]:.1f} of 255"
    what = "the box that was drawn" if streams.split == "train" else "the shorter side"
    fix = f"resize as {right} does: Pillow, bilinear, {what}"
    return streams.cause(chosen[0][0], cause, fix, "interpolat|resize", "crop", "resize")


def _distance(pixels: np.ndarray, target: np.ndarray, constants: Constants) -> float:
    """Return by how many bytes, at most, numbers [1, 3, S, S] are off from these pixels."""
    candidate = pixels.transpose(2, 0, 1)[None].astype(np.float64)
    plain = float(np.abs(constants.to_bytes(target) - candidate).max())
    return min(plain, fit(candidate, target).left_over(candidate, target))


def _ways(streams: Streams, sample: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield images [S, S, 3] made of the file of a sample in each way that is tried."""
    image = read_rgb(streams.images.folder / streams.right.paths[sample])
    size = streams.images.image_size
    shorter = round(size * 256 / 224)  # before evaluation's centre crop, as in the paper
    box = _box(streams.right, sample)
    if streams.split == "train" and box is not None:
        left, top, width, height = box
        image = image.crop((left, top, left + width, top + height))
        for words, made in _resized(image, (size, size)):
            yield words, made[:, ::-1] if was_flipped(streams, sample) else made
        return
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
    """Yield an image resized to (width, height) in each way that is tried, [H, W, 3]."""
    for kind in Image.Resampling:
        yield f"Pillow's {kind.name.lower()}", np.asarray(image.resize(shape, kind))
    pixels = np.asarray(image)
    plain = "without antialiasing"
    library = "(cv2's, or the framework's interpolate)"
    yield f"bilinear {plain} {library}", sampled(pixels, shape, _linear)
    yield f"bicubic {plain} {library}", sampled(pixels, shape, _cubic)
    yield f"bilinear {plain}, corners aligned", sampled(pixels, shape, _linear, corners=True)
    rows, columns = (
        np.minimum((np.arange(new, dtype=np.float32) * np.float32(old / new)).astype(int), old - 1)
        for new, old in zip(shape[::-1], pixels.shape[:2], strict=True)
    )
    yield f"nearest, rounded down {library}", pixels[rows][:, columns]


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def sampled(
    pixels: np.ndarray, shape: tuple[int, int], kernel: Kernel, corners: bool = False
) -> np.ndarray:
    """Resize [H, W, C] to shape (width, height) from the nearest pixels alone, in float64.

    `kernel` gives a pixel's weight by its distance; `corners`: the outermost pixels stay in place.
    """
    image = pixels.astype(np.float64)
    for axis, new in ((0, shape[1]), (1, shape[0])):
        old = image.shape[axis]
        position = (np.arange(new) + 0.5) * (old / new) - 0.5
        if corners:
            position = np.arange(new) * ((old - 1) / max(new - 1, 1))
        source = np.arange(-2, old + 2)
        weights = kernel(position[:, None] - source)  # [new, old + 4]
        padded = image.take(np.clip(source, 0, old - 1), axis)
        image = np.moveaxis(np.tensordot(weights, padded, (1, axis)), 0, axis)
    return np.clip(image, 0, 255)


def _centre(pixels: np.ndarray, size: int) -> np.ndarray:
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]
