"""Optimizer and learning rate, in this framework's order: schedule first, optimizer takes it.

https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/optimizer/Overview_en.html
"""

import argparse

from paddle import nn
from paddle.optimizer import Momentum
from paddle.optimizer.lr import (
    CosineAnnealingDecay,
    LinearWarmup,
    LRScheduler,
    ReduceOnPlateau,
    StepDecay,
)

WARMUP_START = 0.01  # share of the learning rate at the first step of the warm-up


class Plateau(ReduceOnPlateau):
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
    model: nn.Layer, args: argparse.Namespace, steps_per_epoch: int, world_size: int = 1
) -> tuple[Momentum, LRScheduler]:
    """Return momentum SGD over all parameters, and its schedule, to be stepped after every step."""
    lr = scale_lr(args, world_size)
    steps = args.epochs * steps_per_epoch
    warmup_steps = round(args.warmup_epochs * steps_per_epoch)
    if args.schedule == "step":
        scheduler = StepDecay(lr, args.lr_step_size * steps_per_epoch, args.lr_gamma)
    elif args.schedule == "plateau":
        rule = {"factor": args.lr_gamma, "patience": args.lr_patience, "threshold": 0.0}
        scheduler = Plateau(lr, **rule)
    else:
        scheduler = CosineAnnealingDecay(lr, max(steps - warmup_steps, 1))
    if warmup_steps:
        scheduler = LinearWarmup(scheduler, warmup_steps, WARMUP_START * lr, lr)
    optimizer = Momentum(
        scheduler,
        parameters=model.parameters(),
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        use_nesterov=args.nesterov,
    )
    return optimizer, scheduler


def end_epoch(scheduler: LRScheduler, error: float) -> None:
    """Tell the schedule the validation error of an epoch, in per cent; only a plateau heeds it."""
    if isinstance(scheduler, Plateau):
        scheduler.step(error)


def current_lr(optimizer: Momentum) -> float:
    """Return the learning rate that the optimizer's next step uses."""
    return optimizer.get_lr()
