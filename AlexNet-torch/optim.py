"""Optimizer and learning rate, in this framework's order: optimizer first, schedule around it.

https://pytorch.org/docs/stable/optim.html
"""

import argparse

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

WARMUP_START = 0.01  # share of the learning rate at the first step of the warm-up


class Plateau(ReduceLROnPlateau):
    """Multiplies the rate where the validation error has not been smaller for some epochs."""

    def step(self, error: float | None = None) -> None:
        """Look at the error of an epoch; without one, as after each training step, do nothing."""
        if error is not None:
            super().step(error)


def scale_lr(args: argparse.Namespace, world_size: int) -> float:
    """Return the learning rate for `world_size` processes: the recipe states it for `args.gpus`.

    The linear scaling rule (https://arxiv.org/abs/1706.02677) at the same batch on each GPU. With
    --split-batch the processes share the batch of one, and its rate.
    """
    world_size = 1 if args.split_batch else world_size
    return args.lr * world_size / args.gpus


def build(
    model: nn.Module, args: argparse.Namespace, steps_per_epoch: int, world_size: int = 1
) -> tuple[SGD, LRScheduler]:
    """Return momentum SGD over all parameters, and its schedule, to be stepped after every step."""
    optimizer = SGD(
        model.parameters(),
        lr=scale_lr(args, world_size),
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        nesterov=args.nesterov,
        fused=True,  # one pass over the parameters
    )
    steps = args.epochs * steps_per_epoch
    warmup_steps = round(args.warmup_epochs * steps_per_epoch)
    if args.schedule == "step":
        scheduler = StepLR(optimizer, args.lr_step_size * steps_per_epoch, args.lr_gamma)
    elif args.schedule == "plateau":
        rule = {"factor": args.lr_gamma, "patience": args.lr_patience, "threshold": 0.0}
        scheduler = Plateau(optimizer, **rule)
    else:
        scheduler = CosineAnnealingLR(optimizer, max(steps - warmup_steps, 1))
    if warmup_steps:
        warmup = LinearLR(optimizer, WARMUP_START, total_iters=warmup_steps)
        scheduler = SequentialLR(optimizer, [warmup, scheduler], milestones=[warmup_steps])
    return optimizer, scheduler


def end_epoch(scheduler: LRScheduler, error: float) -> None:
    """Tell the schedule the validation error of an epoch, in per cent; only a plateau heeds it."""
    if isinstance(scheduler, Plateau):
        scheduler.step(error)


def current_lr(optimizer: SGD) -> float:
    """Return the learning rate that the optimizer's next step uses."""
    return optimizer.param_groups[0]["lr"]
