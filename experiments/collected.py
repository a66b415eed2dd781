"""What finished runs came to, from their folders."""

import json
import statistics
from pathlib import Path
from typing import Any

from common.training.run_folder import read_metrics
from portproof.system.errors import UserError

COLUMNS = (
    "framework", "recipe", "fast", "seed", "epochs", "val_top1", "val_top5", "val_loss",
    "images_per_s", "seconds", "processor", "cores", "versions",
)  # fmt: skip
EPOCH_COLUMNS = (
    "epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5",
)  # fmt: skip


def read_epochs(folder: Path) -> list[dict[str, Any]]:
    """Return a line for each epoch of a run, by the names in EPOCH_COLUMNS."""
    rows = read_metrics(folder)
    return [{name: round(row[name], 6) for name in EPOCH_COLUMNS} for row in rows]


def read_run(folder: Path) -> dict[str, Any]:
    """Return the line of one run. Raises UserError where the folder holds no finished one."""
    try:
        described = json.loads((folder / "args.json").read_text())
        rows = read_metrics(folder)
        arguments, last = described["arguments"], rows[-1]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{folder}: no run with args.json and metrics.jsonl") from error
    if last["epoch"] != arguments["epochs"]:
        raise UserError(f"{folder}: stopped at epoch {last['epoch']}; resume it first")
    machine = described["machine"]
    line = {name: arguments[name] for name in ("framework", "recipe", "fast", "seed", "epochs")}
    line |= {name: round(last[name], 4) for name in ("val_top1", "val_top5", "val_loss")}
    return line | {
        "images_per_s": round(statistics.median(row["images_per_s"] for row in rows), 1),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        # A run on a GPU is one of that and of the processor that feeds it.
        "processor": " and ".join(filter(None, [machine.get("gpu"), machine["processor"]])),
        "cores": machine["cores"],
        "versions": " ".join(f"{name}={v}" for name, v in described["versions"].items()),
    }
