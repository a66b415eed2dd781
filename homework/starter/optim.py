"""Optimizer and learning rate, in Paddle's order: schedule first, the optimizer takes it.

The torch file: homework/ResNet-torch/optim.py.
"""

import argparse

from paddle import nn
from paddle.optimizer import Optimizer
from paddle.optimizer.lr import LRScheduler

WARMUP_START = 0.01  # share of the learning rate at the first step of the warm-up


def scale_lr(args: argparse.Namespace, world_size: int) -> float:
    """Return the learning rate for `world_size` processes: the recipe states it for `args.gpus`."""
    raise NotImplementedError("write scale_lr")


def build(
    model: nn.Layer, args: argparse.Namespace, steps_per_epoch: int, world_size: int = 1
) -> tuple[Optimizer, LRScheduler]:
    """Return momentum SGD over all parameters, and its schedule, to be stepped after every step.

    Only weights of convolutions and of the last layer decay: biases and normalizations, which have
    one dimension, do not. `args` has epochs, warmup_epochs (0: no warm-up), schedule ("step" with
    lr_step_size epochs and lr_gamma, or "cosine"), momentum, weight_decay and nesterov. After the
    warm-up a cosine ends with the last step.
    """
    raise NotImplementedError("write build")


def current_lr(optimizer: Optimizer) -> float:
    """Return the learning rate that the optimizer's next step uses."""
    raise NotImplementedError("write current_lr")
