"""Figures that are drawn without a display."""

import io
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"float32": "#1f77b4", "float64": "#14632b"}  # of differences, by dtype
SMALLEST = 1e-17  # where a logarithmic plot puts a difference of 0
CLONE = Path(__file__).resolve().parents[2]

# matplotlib keeps its font list in the user's home otherwise; a clone keeps all in its own folder.
if (CLONE / "pyproject.toml").is_file():
    os.environ.setdefault("MPLCONFIGDIR", str(CLONE / ".cache" / "matplotlib"))


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    from matplotlib.figure import Figure  # takes a second, needed only where something is drawn

    return Figure(figsize=(width, height), layout="constrained")


def as_png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
