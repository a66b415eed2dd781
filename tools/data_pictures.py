"""The first sample that differs, as a picture: one side, the other, and their difference."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from common import plots
from common.errors import show
from tools.data_faults import Streams
from tools.data_streams import Stream
from tools.picture_faults import CHANNELS, MEAN, STD, Constants, find_constants

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#c0392b", "#1e8449", "#1f5fa8")  # of the channels


def blocks(
    streams: Streams, differ: list[tuple[int, int]], problems: list[tuple[int, int, str]]
) -> list[dict[str, Any]]:
    """Return the blocks of a verdict's page that show the first difference.

    It is the first place of the stream where the two sides differ, in the order in which they come.
    """
    place = first_place(streams, differ, problems)
    if place is None:
        return []
    i, j = place
    title = f"The first difference: {streams.right.place(i)}"
    found = [{"title": title, "png": draw(streams, i, j)}]
    facts = _facts(streams, i, j)
    return found + ([{"title": "How this sample was made", "table": facts}] if facts else [])


def first_place(
    streams: Streams, differ: list[tuple[int, int]], problems: list[tuple[int, int, str]]
) -> tuple[int, int] | None:
    """Return the first samples at the same place that are not the same; None where all are."""
    paired = dict(streams.pairs)
    odd = {*differ, *((i, j) for i, j, _ in problems)}
    for n in range(min(len(streams.right), len(streams.other))):
        moved = paired.get(n) != n
        if moved or (n, n) in odd or streams.right.labels[n] != streams.other.labels[n]:
            return n, n
    return next(iter(sorted(odd)), None)


def draw(streams: Streams, i: int, j: int) -> bytes:
    """Return a PNG: both pictures as the network sees them, their difference, and the numbers of
    one against those of the other.
    """
    right, other = streams.right, streams.other
    constants = find_constants(right.images([i])) or Constants(MEAN, STD)
    figure = plots.new_figure(7.6, 8.4)
    axes = figure.subplots(2, 2)
    shown = []
    for one, stream, sample in zip(axes[0], (right, other), (i, j), strict=True):
        shown.append(_visible(stream.image(sample), constants))
        one.imshow(shown[-1], interpolation="nearest")
        one.set_title(_caption(stream, sample), fontsize=12, parse_math=False)
    _draw_difference(axes[1, 0], *shown)
    _draw_numbers(axes[1, 1], streams, right.image(i), other.image(j))
    for one in axes.flat[:3]:
        one.set_xticks([])
        one.set_yticks([])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _draw_difference(axes: "Axes", right: np.ndarray, other: np.ndarray) -> None:
    """Show the difference of two pictures [H, W, 3], its largest value as white."""
    if right.shape != other.shape:
        axes.set_title("no difference to show:\nthe sizes are not the same", fontsize=12)
        axes.set_frame_on(False)
        return
    apart = np.abs(right - other)
    largest = float(apart.max())
    axes.imshow(apart / (largest or 1.0), interpolation="nearest")
    told = f"the brightest is {255 * largest:.3g} of 255" if largest else "none to be seen"
    axes.set_title(f"Difference\n{told}", fontsize=12)


def _draw_numbers(axes: "Axes", streams: Streams, right: np.ndarray, other: np.ndarray) -> None:
    """Draw the numbers of the other side over those of the right one, by channel."""
    axes.set_title("Numbers that the network gets\n(on the dashed line where equal)", fontsize=12)
    if right.shape != other.shape or right.shape[0] != len(CHANNELS):
        axes.set_axis_off()
        return
    flat_right, flat_other = (one.reshape(len(CHANNELS), -1)[:, ::7] for one in (right, other))
    for channel, color, x, y in zip(CHANNELS, COLORS, flat_right, flat_other, strict=True):
        axes.plot(x, y, ".", color=color, markersize=2.5, label=channel)
    axes.axline((0, 0), slope=1, color="#777", linestyle="--", linewidth=1)
    axes.set_xlabel(streams.right.name)
    axes.set_ylabel(streams.other.name)
    axes.legend(markerscale=4, frameon=False)


def _visible(image: np.ndarray, constants: Constants) -> np.ndarray:
    """Return numbers [3, H, W] as a picture [H, W, 3] of 0 to 1, by the right side's constants."""
    image = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.ndim == 3 and image.shape[0] != 3 and image.shape[2] == 3:
        image = image.transpose(2, 0, 1)
    if image.ndim != 3 or image.shape[0] != 3:
        image = np.broadcast_to(image.reshape(1, -1, image.shape[-1]), [3, *image.shape[-2:]])
    return np.clip(constants.to_bytes(image[None])[0].transpose(1, 2, 0) / 255, 0, 1)


def _caption(stream: Stream, sample: int) -> str:
    label = int(stream.labels[sample])
    known = stream.classes and 0 <= label < len(stream.classes)
    named = f" ({stream.classes[label]})" if known else ""
    path = show(stream.paths[sample] or "file not known")
    return f"{stream.name}: {path}\nlabel {label}{show(named)}"


def _facts(streams: Streams, i: int, j: int) -> list[list[str]]:
    """Return what was noted while the sample was made, a row for each fact."""
    both = [(streams.right, i), (streams.other, j)]
    rows = [["", *(stream.name for stream, _ in both)]]
    rows.append(["file", *(stream.paths[n] or "-" for stream, n in both)])
    rows.append(["decoded", *(_decoded(stream.facts[n]) for stream, n in both)])
    names = {name for stream, n in both for name, _ in stream.facts[n].get("steps", [])}
    for name in sorted(names):
        rows.append([name, *(_steps(stream.steps(n, name), name) for stream, n in both)])
    return rows


def _decoded(fact: dict) -> str:
    found = fact.get("decoded") or fact.get("entered")
    return f"{found['mode']}, {' x '.join(map(str, found['size']))}" if found else "-"


def _steps(found: list, name: str) -> str:
    if name == "resize":
        return "; ".join(f"to {size[0]} x {size[1]}, {kind.lower()}" for size, kind in found) or "-"
    if name == "crop":
        boxes = [f"left {b[0]}, top {b[1]}, {b[2] - b[0]} x {b[3] - b[1]}" for b in found if b]
        return "; ".join(boxes) or "-"
    return "; ".join(str(one).lower().replace("_", " ") for one in found) or "-"
