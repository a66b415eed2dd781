"""Images of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from portproof.report.figures import new_figure
from portproof.system.atomic import replace_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_curves(path: Path, rows: list[dict], title: str) -> None:
    """Write loss, accuracy and learning rate over the epochs of `rows` (metrics.jsonl) as a PNG."""
    if not rows:
        return
    epochs = [row["epoch"] for row in rows]
    figure = new_figure(12, 3.8)
    figure.suptitle(f"{title}: best val top-1 {max(row['val_top1'] for row in rows):.1f} %")
    loss, accuracy, lr = figure.subplots(1, 3)
    for axes, label, names in (
        (loss, "loss", ("train_loss", "val_loss")),
        (accuracy, "accuracy (%)", ("train_top1", "val_top1", "val_top5")),
        (lr, "learning rate at the epoch's start", ("lr",)),
    ):
        for name in names:
            axes.plot(epochs, [row[name] for row in rows], marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(names) > 1:
            axes.legend()
    loss.set_ylim(bottom=0)
    save(figure, path)


def save(figure: "Figure", path: Path, metadata: dict[str, str | None] | None = None) -> None:
    """Write a figure as a PNG, atomically."""
    with replace_atomically(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata=metadata)
