"""What predict.py says: on the screen, as JSON, as an image."""

import argparse
import math
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from common.data.folder import FolderIndex
from common.inference.metadata import ModelMetadata
from common.training.plots import new_figure, save
from portproof.files.images import read_rgb
from portproof.system.atomic import json_text, write_result, writing
from portproof.system.errors import UserError, show

TOP = 5
MOST_DRAWN = 24  # images on the plot
THUMBNAIL = 320  # pixels of a drawn image's longer side
LONGEST_NAME = 28  # letters of a name on the plot
# matplotlib's own font has no Chinese, Japanese or Korean; of these the installed ones have.
EASTERN_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei")


class Answer(NamedTuple):
    """The likeliest classes of an image, as (class, probability from 0 to 1), likeliest first."""

    path: str
    top: list[tuple[int, float]]


def pair(
    classes: list[list[int]], probabilities: list[list[float]], index: FolderIndex, first: int
) -> list[Answer]:
    """Return the answers of a batch from image `first` on. Raises UserError at NaN or infinity."""
    answers = []
    paths = index.paths[first : first + len(classes)]
    for path, names, numbers in zip(paths, classes, probabilities, strict=True):
        if not all(math.isfinite(number) for number in numbers):
            raise UserError(
                f"{show(path)}: the model gives no numbers; its weights hold NaN or infinity"
            )
        answers.append(Answer(path, list(zip(names, numbers, strict=True))))
    return answers


def write(answers: list[Answer], facts: ModelMetadata, args: argparse.Namespace) -> None:
    """Print the answers, and write what --plot and --json ask for. Raises UserError."""
    if args.plot:
        draw(args.plot, answers, facts)
    contents = as_json(answers, facts, args.weights) if args.json else {}
    if args.json == "-":
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        print(json_text(contents), end="")
        return
    if args.json:
        write_result(Path(args.json), contents)
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter
    for answer in answers:
        print(describe(answer, facts))


def describe(answer: Answer, facts: ModelMetadata) -> str:
    """Return an answer as lines for people."""
    rows = [f"{100 * number:7.2f} %  {facts.name(index)}" for index, number in answer.top]
    return "\n".join([show(answer.path), *rows])


def as_json(answers: list[Answer], facts: ModelMetadata, weights: Path) -> dict[str, Any]:
    """Return the answers, ready for JSON."""
    return {
        "weights": str(weights),
        "image_size": facts.image_size,
        "pictures": [
            {
                "path": answer.path,
                "top": [
                    {"class": facts.name(index), "index": index, "probability": number}
                    for index, number in answer.top
                ],
            }
            for answer in answers
        ],
    }


def draw(path: Path, answers: list[Answer], facts: ModelMetadata) -> None:
    """Write a PNG with each image (the first MOST_DRAWN) and beside it bars of its answers."""
    drawn = answers[:MOST_DRAWN]
    columns = 1 if len(drawn) < 3 else 2
    rows = -(-len(drawn) // columns)
    figure = new_figure(6.4 * columns, 2.3 * rows + (0.4 if len(answers) > MOST_DRAWN else 0))
    if len(answers) > MOST_DRAWN:
        figure.suptitle(f"the first {MOST_DRAWN} of {len(answers)} images")
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 1.25] * columns)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, answer in enumerate(drawn):
        row, column = divmod(number, columns)
        _draw_image(grid[row, 2 * column], answer)
        _draw_bars(grid[row, 2 * column + 1], answer, facts)
    with warnings.catch_warnings(record=True) as warned, writing(path):
        warnings.simplefilter("always")
        save(figure, path)
    if any("Glyph" in str(warning.message) for warning in warned):
        print(
            f"note: {path} has boxes for letters that no font here has; install one, such as "
            "fonts-noto-cjk",
            file=sys.stderr,
        )


def _draw_image(axes: Any, answer: Answer) -> None:
    image = read_rgb(answer.path)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    axes.imshow(image)
    name = _short(show("/".join(Path(answer.path).parts[-2:])))  # names alone are often numbers
    axes.set_title(name, fontsize=9, color="#555", parse_math=False, fontfamily=_fonts())


def _draw_bars(axes: Any, answer: Answer, facts: ModelMetadata) -> None:
    """Draw the likeliest class on top and strong, the others pale."""
    heights = range(len(answer.top))
    colours = ["#1f6fb2"] + ["#b9c6d3"] * (len(answer.top) - 1)
    axes.set_axis_on()
    axes.barh(heights, [number for _, number in answer.top], height=0.72, color=colours)
    axes.set_xlim(0, 1.22)  # leaves room for the number behind a full bar
    axes.set_ylim(TOP - 0.5, -0.5)  # fewer classes: bars of the same height
    names = [_short(show(facts.name(index))) for index, _ in answer.top]
    axes.set_yticks(heights, names, parse_math=False, fontfamily=_fonts())
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    for height, (_, number) in zip(heights, answer.top, strict=True):
        weight = "bold" if height == 0 else "normal"
        axes.text(number + 0.02, height, f"{100 * number:.1f} %", va="center", fontweight=weight)


def _short(name: str) -> str:
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _fonts() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in EASTERN_FONTS if name in installed)]
