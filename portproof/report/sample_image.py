"""The first sample that differs, as an image: one side, the other, and their difference."""

from typing import TYPE_CHECKING

import numpy as np

from portproof.core.streams import Sample
from portproof.core.verdict import Block
from portproof.diagnose.pixels import CHANNELS, IMAGENET, Constants, find_constants
from portproof.report.figures import as_png, new_figure
from portproof.system.errors import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#c0392b", "#1e8449", "#1f5fa8")  # of the channels


def drawn(blocks: list[Block]) -> list[Block]:
    """Return the blocks of a verdict's page, each pair of samples drawn as a PNG."""
    return [
        {"title": block["title"], "png": draw(*block["samples"])} if "samples" in block else block
        for block in blocks
    ]


def draw(right: Sample, other: Sample) -> bytes:
    """Return a PNG: both images as the network sees them, their difference, and the numbers of
    one against those of the other.
    """
    constants = find_constants(right.image[None].astype(np.float64)) or IMAGENET
    figure = new_figure(7.6, 8.4)
    axes = figure.subplots(2, 2)
    shown = [_visible(sample.image, constants) for sample in (right, other)]
    for above, sample, image in zip(axes[0], (right, other), shown, strict=True):
        above.imshow(image, interpolation="nearest")
        path, label = show(sample.path or "file not known"), f"label {sample.label}"
        label += show(f" ({sample.class_name})") if sample.class_name else ""
        above.set_title(f"{sample.side}: {path}\n{label}", fontsize=12, parse_math=False)
    _draw_difference(axes[1, 0], *shown)
    _draw_numbers(axes[1, 1], right, other)
    for shown_image in axes.flat[:3]:
        shown_image.set(xticks=[], yticks=[])
    return as_png(figure)


def _draw_difference(axes: "Axes", right: np.ndarray, other: np.ndarray) -> None:
    """Show the difference of two images [H, W, 3], its largest value as white."""
    if right.shape != other.shape:
        axes.set_title("no difference to show:\nthe sizes are not the same", fontsize=12)
        axes.set_frame_on(False)
        return
    apart = np.abs(right - other)
    largest = float(apart.max())
    axes.imshow(apart / (largest or 1.0), interpolation="nearest")
    brightest = f"the brightest is {255 * largest:.3g} of 255" if largest else "none to be seen"
    axes.set_title(f"Difference\n{brightest}", fontsize=12)


def _draw_numbers(axes: "Axes", right: Sample, other: Sample) -> None:
    """Draw the numbers of the other side over those of the right one, by channel."""
    axes.set_title("Numbers that the network gets\n(on the dashed line where equal)", fontsize=12)
    if right.image.shape != other.image.shape or right.image.shape[:1] != (len(CHANNELS),):
        axes.set_axis_off()
        return
    flat_right, flat_other = (
        sample.image.reshape(len(CHANNELS), -1)[:, ::7] for sample in (right, other)
    )
    for channel, color, x, y in zip(CHANNELS, COLORS, flat_right, flat_other, strict=True):
        axes.plot(x, y, ".", color=color, markersize=2.5, label=channel)
    axes.axline((0, 0), slope=1, color="#777", linestyle="--", linewidth=1)
    axes.set(xlabel=right.side, ylabel=other.side)
    axes.legend(markerscale=4, frameon=False)


def _visible(image: np.ndarray, constants: Constants) -> np.ndarray:
    """Return numbers [3, H, W] as an image [H, W, 3] of 0 to 1, by the right side's constants."""
    image = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.ndim == 3 and image.shape[0] != 3 and image.shape[2] == 3:
        image = image.transpose(2, 0, 1)
    if image.ndim != 3 or image.shape[0] != 3:
        grey = np.atleast_1d(image).reshape(1, -1, image.shape[-1] if image.ndim else 1)
        image = np.broadcast_to(grey, [3, *grey.shape[1:]])
    return np.clip(constants.to_bytes(image[None])[0].transpose(1, 2, 0) / 255, 0, 1)
