"""What both ports of the homework have alike: settings, as in train.py, and how a step is taken."""

from typing import Any

SETTINGS = {
    "width": 64,  # channels of the first stage
    "classes": 1000,
    "lr": 0.007,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "gpus": 1,
    "nesterov": False,
    "label_smoothing": 0.0,
    "epochs": 7,
    "schedule": "cosine",
    "lr_step_size": 30,
    "lr_gamma": 0.1,
    "warmup_epochs": 0.25,
}


def train_step(model: Any, optimizers: tuple, batch: dict[str, Any]) -> Any:
    """Take a step on images [N, 3, S, S] and labels [N]; return its loss []."""
    import loop  # lies beside the port, and may be missing

    optimizer, scheduler, criterion = optimizers
    images, labels = batch["images"], batch["labels"]
    loss, _ = loop.train_step(model, criterion, optimizer, scheduler, images, labels)
    return loss
