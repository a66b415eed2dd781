"""The framework's own board: curves that can be watched during a run.

TensorBoard: https://docs.pytorch.org/docs/stable/tensorboard.html
"""

from pathlib import Path

from common.paths import ROOT
from portproof.system.errors import UserError


def open_board(folder: Path, wanted: bool):
    """Return a writer of curves into `folder`/board, or None where none is wanted."""
    if not wanted:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            f"--tensorboard: {error}; install it by: pip install --editable '{ROOT}[boards]'"
        ) from error
    return SummaryWriter(str(folder / "board"))


def add(board, row: dict[str, float]) -> None:
    """Add the metrics of an epoch, if there is a board."""
    if board is None:
        return
    for name, number in row.items():
        if name != "epoch":
            board.add_scalar(name, number, row["epoch"])
    board.flush()
