"""Draw the house of folders: two trees on one ground, and above them what holds them to each other.

    python -m course.house docs/images/house.png

The files and rooms are those on the disk.
"""

from collections.abc import Sequence
from pathlib import Path

from common import plots
from common.paths import ROOT
from portproof.system import errors
from portproof.system.atomic import replace_whole
from portproof.system.command_line import Parser

FIRST = ("port.py", "train.py")  # the upper rows of the trees: the first is what portproof knows
COLORS = {"torch": "#ee4c2c", "paddle": "#2f6bff", "portproof": "#2a9d8f", "common": "#8d99ae"}
FLOOR, ROOF = 2.6, 3.6  # heights of portproof and of the tools, in rows of the trees
Trees = dict[str, list[str]]  # name -> files


def files(folder: str) -> list[str]:
    """Return the Python files of a folder, those that one reads first before the others."""
    found = sorted(
        str(path.relative_to(ROOT / folder))
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    )
    return sorted(found, key=lambda name: name != "train.py")


def rooms() -> list[str]:
    """Return the rooms of portproof."""
    return sorted({path.parent.name for path in (ROOT / "portproof").glob("*/*.py")})


def commands() -> list[str]:
    """Return the files of tools/ that start a command of portproof."""
    return [
        name for name in files("tools") if "portproof.cli" in (ROOT / "tools" / name).read_text()
    ]


def draw(path: Path) -> None:
    """Write the picture as a PNG: from the ground up, common, the trees, portproof, the tools."""
    trees = {name: files(f"AlexNet-{name}") for name in ("torch", "paddle")}
    rows = sorted(set().union(*trees.values()), key=lambda name: rank(name, trees))
    figure = plots.new_figure(9, 7.2)
    axes = figure.subplots()
    height = len(rows)
    draw_common(axes)
    for left, name in zip((0.4, 5.4), trees, strict=True):
        draw_tree(axes, left, name, trees[name], rows)
    axes.text(5, height / 2, "=", ha="center", va="center", fontsize=26, color="#444444")
    draw_portproof(axes, height + 0.3)
    draw_roof(axes, height + 0.3 + FLOOR)
    axes.set_xlim(-0.3, 10.3)
    axes.set_ylim(-2.6, height + FLOOR + ROOF + 0.5)
    axes.set_axis_off()
    with replace_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def rank(name: str, trees: Trees) -> tuple:
    """Return what to sort a row by: FIRST, then files of both trees, then those of one alone."""
    place = FIRST.index(name) if name in FIRST else len(FIRST)
    return place, not all(name in own for own in trees.values()), name


def draw_common(axes) -> None:
    """Draw the ground under both trees."""
    draw_block(axes, (0, -2.3, 10, 2.1), COLORS["common"])
    title = "common/: written once, needs no framework"
    axes.text(5, -0.75, title, ha="center", va="center", weight="bold")
    words = (
        "arguments · recipes · folder index · random draws · sample pictures · run, epochs · plots"
    )
    axes.text(5, -1.6, words, ha="center", va="center", fontsize=9)


def draw_tree(axes, left: float, name: str, own: list[str], rows: list[str]) -> None:
    """Draw a tree with a row for each of its files, beside the same file of the other."""
    height = len(rows)
    draw_block(axes, (left, 0, 4.2, height), COLORS[name])
    top = height - 0.5
    axes.text(left + 2.1, top, f"AlexNet-{name}/", ha="center", va="center", weight="bold")
    for row, file in enumerate(rows):
        if file in own:
            low = height - 1.4 - row * (height - 1.6) / height
            is_port = file == FIRST[0]
            color, weight = (COLORS["portproof"], "bold") if is_port else ("black", "normal")
            axes.text(left + 0.4, low, file, fontsize=9, color=color, weight=weight)


def draw_portproof(axes, low: float) -> None:
    """Draw the library over both trees, with its rooms."""
    draw_block(axes, (0, low, 10, FLOOR - 0.3), COLORS["portproof"])
    title = "portproof/: holds two ports against each other; knows a tree by its port.py"
    axes.text(5, low + 1.6, title, ha="center", va="center", weight="bold")
    axes.text(5, low + 0.7, " · ".join(rooms()), ha="center", va="center", fontsize=8.5)


def draw_roof(axes, low: float) -> None:
    """Draw the commands over the library."""
    from matplotlib.patches import Polygon

    color = COLORS["portproof"]
    corners = [(-0.2, low), (10.2, low), (5, low + ROOF)]
    axes.add_patch(Polygon(corners, facecolor=color, alpha=0.3, edgecolor=color))
    axes.text(5, low + 2.2, "tools/", ha="center", va="center", weight="bold")
    names = commands()
    for row, line in enumerate((names[:2], names[2:4], names[4:])):
        words = " · ".join(line)
        axes.text(5, low + 1.6 - 0.6 * row, words, ha="center", va="center", fontsize=8.5)


def draw_block(axes, box: tuple[float, float, float, float], color: str) -> None:
    """Draw a box at left, bottom, of this width and height."""
    from matplotlib.patches import Rectangle

    left, bottom, width, height = box
    axes.add_patch(
        Rectangle((left, bottom), width, height, facecolor=color, alpha=0.18, edgecolor=color)
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="python -m course.house",
        description=__doc__,
    )
    parser.add_argument("path", type=Path, metavar="FILE.png", help="to be written")
    draw(parser.parse_args(argv).path)


if __name__ == "__main__":
    errors.run(main)
