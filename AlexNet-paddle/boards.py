"""The framework's own board: curves that can be watched during a run.

VisualDL: https://github.com/PaddlePaddle/VisualDL
"""

from pathlib import Path

from common.paths import ROOT
from portproof.system.errors import UserError


def open_board(folder: Path, wanted: bool):
    """Return a writer of curves into `folder`/board, or None where none is wanted."""
    if not wanted:
        return None
    try:
        from visualdl import LogWriter
    except ImportError as error:
        raise UserError(
            f"--visualdl: {error}; install it by: pip install --editable '{ROOT}[boards]'"
        ) from error
    return LogWriter(str(folder / "board"), flush_secs=1)  # it has no flush() of its own


def add(board, row: dict[str, float]) -> None:
    """Add the metrics of an epoch, if there is a board."""
    if board is None:
        return
    for name, number in row.items():
        if name != "epoch":
            board.add_scalar(name, value=number, step=row["epoch"])
