"""The loss, one step of training, and the evaluation. The loop over epochs is AlexNet's."""

from collections.abc import Iterable

import torch
from torch import nn

import metric


def make_loss(smoothing: float = 0.0) -> nn.Module:
    """Return the loss: logits [N, C], labels [N] -> the mean over the batch, []."""
    return nn.CrossEntropyLoss(label_smoothing=smoothing)


def train_step(
    model: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take one step on images [N, 3, S, S] and labels [N]; return the loss [] and logits [N, C].

    The model is in training mode already.
    """
    logits = model(images)
    loss = criterion(logits, labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    scheduler.step()
    return loss.detach(), logits.detach()


@torch.no_grad()
def evaluate(
    model: nn.Module, criterion: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> dict[str, float]:
    """Measure the model on batches of images [N, 3, S, S] and labels [N], whatever their sizes.

    Returns val_loss, the mean over all images, and val_top1 and val_top5 in per cent.
    """
    model.eval()
    loss_sum, correct1, correct5, seen = 0.0, 0, 0, 0
    for images, labels in batches:
        logits = model(images)  # [N, C]
        loss_sum += criterion(logits, labels).item() * len(labels)
        correct1 += metric.count_correct(logits, labels, k=1).item()
        correct5 += metric.count_correct(logits, labels, k=5).item()
        seen += len(labels)
    return {
        "val_loss": loss_sum / seen,
        "val_top1": 100 * correct1 / seen,
        "val_top5": 100 * correct5 / seen,
    }
