"""Draw the house of folders: two trees on one ground, and the tools above that compare them.

    python -m course.house docs/images/house.png

The files are those on the disk.
"""

from pathlib import Path

from common import errors, plots
from common.command_line import Parser
from common.paths import ROOT
from common.run_folder import replace_whole
from common.trees import INSTRUMENTS

INNER = {*INSTRUMENTS, "__init__.py"}  # for the tools, in both trees
COLORS = {"torch": "#ee4c2c", "paddle": "#2f6bff", "tools": "#2a9d8f", "common": "#8d99ae"}


def files(folder: str) -> list[str]:
    """Return the Python files of a folder, those that one reads first before the others."""
    found = sorted(
        str(path.relative_to(ROOT / folder))
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in INNER
    )
    return sorted(found, key=lambda name: name != "train.py")


def draw(path: Path) -> None:
    """Write the picture as a PNG: files of both trees side by side, then those of one alone."""
    trees = {name: files(f"AlexNet-{name}") for name in ("torch", "paddle")}
    rows = sorted(
        set().union(*trees.values()),
        key=lambda name: (name != "train.py", not is_shared(name, trees), name),
    )
    figure = plots.new_figure(9, 6.4)
    axes = figure.subplots()
    height = len(rows)
    draw_roof(axes, height)
    for left, (name, own) in zip((0.4, 5.4), trees.items(), strict=True):
        draw_block(axes, (left, 0, 4.2, height), COLORS[name])
        axes.text(
            left + 2.1, height - 0.5, f"AlexNet-{name}/", ha="center", va="center", weight="bold"
        )
        for row, file in enumerate(rows):
            if file in own:
                low = height - 1.4 - row * (height - 1.6) / height
                axes.text(left + 0.4, low, file, fontsize=9)
    axes.text(5, height / 2, "=", ha="center", va="center", fontsize=26, color="#444444")
    draw_block(axes, (0, -2.3, 10, 2.1), COLORS["common"])
    title = "common/: written once, needs no framework"
    axes.text(5, -0.75, title, ha="center", va="center", weight="bold")
    words = (
        "arguments · recipes · folder index · random draws · sample pictures · run folders · plots"
    )
    axes.text(5, -1.6, words, ha="center", va="center", fontsize=9)
    axes.set_xlim(-0.3, 10.3)
    axes.set_ylim(-2.6, height + 4.6)
    axes.set_axis_off()
    with replace_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def is_shared(name: str, trees: dict[str, list[str]]) -> bool:
    """Say whether all trees have a file of this name."""
    return all(name in own for own in trees.values())


def draw_roof(axes, height: float) -> None:
    """Draw the tools over both trees."""
    from matplotlib.patches import Polygon

    corners = [(-0.2, height + 0.3), (10.2, height + 0.3), (5, height + 4.5)]
    axes.add_patch(
        Polygon(corners, facecolor=COLORS["tools"], alpha=0.25, edgecolor=COLORS["tools"])
    )
    axes.text(5, height + 2.9, "tools/", ha="center", va="center", weight="bold")
    names = [
        name
        for name in files("tools")
        if name.startswith(("compare", "transfer", "align.py", "convert_project"))
    ]
    lines = [
        " · ".join(names[:2]),
        " · ".join(names[2:4]),
        " · ".join(names[4:6]),
        " · ".join(names[6:]),
    ]
    for row, line in enumerate(lines):
        axes.text(5, height + 2.2 - 0.55 * row, line, ha="center", va="center", fontsize=8.5)


def draw_block(axes, place: tuple[float, float, float, float], color: str) -> None:
    """Draw a box at left, bottom, of this width and height."""
    from matplotlib.patches import Rectangle

    left, bottom, width, height = place
    axes.add_patch(
        Rectangle((left, bottom), width, height, facecolor=color, alpha=0.18, edgecolor=color)
    )


def main() -> None:
    parser = Parser(
        prog="python -m course.house",
        description=__doc__,
    )
    parser.add_argument("path", type=Path, metavar="FILE.png", help="to be written")
    draw(parser.parse_args().path)


if __name__ == "__main__":
    errors.run(main)
