"""Optimizer and learning rate, in this framework's order: optimizer first, schedule around it."""

import argparse

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
    StepLR,
)

WARMUP_START = 0.01  # share of the learning rate at the first step of the warm-up


def scale_lr(args: argparse.Namespace, world_size: int) -> float:
    """Return the learning rate for `world_size` processes: the recipe states it for `args.gpus`."""
    return args.lr * world_size / args.gpus


def build(
    model: nn.Module, args: argparse.Namespace, steps_per_epoch: int, world_size: int = 1
) -> tuple[SGD, LRScheduler]:
    """Return momentum SGD over all parameters, and its schedule, to be stepped after every step.

    Only weights of convolutions and of the last layer decay: biases and normalizations, which have
    one dimension, do not.
    """
    parameters = list(model.parameters())
    optimizer = SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=scale_lr(args, world_size),
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        nesterov=args.nesterov,
    )
    steps = args.epochs * steps_per_epoch
    warmup_steps = round(args.warmup_epochs * steps_per_epoch)
    if args.schedule == "step":
        scheduler = StepLR(optimizer, args.lr_step_size * steps_per_epoch, args.lr_gamma)
    else:
        scheduler = CosineAnnealingLR(optimizer, max(steps - warmup_steps, 1))
    if warmup_steps:
        warmup = LinearLR(optimizer, WARMUP_START, total_iters=warmup_steps)
        scheduler = SequentialLR(optimizer, [warmup, scheduler], milestones=[warmup_steps])
    return optimizer, scheduler


def current_lr(optimizer: SGD) -> float:
    """Return the learning rate that the optimizer's next step uses."""
    return optimizer.param_groups[0]["lr"]
