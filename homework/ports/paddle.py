"""The homework as a port, by parts: the files beside this one (portproof/port.py, the contract).

Of metric.py, loop.py and optim.py one may be missing: what needs it is not graded then.
"""

from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import paddle
from models.resnet import ResNet18
from paddle import nn

from homework.port_settings import SETTINGS
from homework.port_settings import train_step as train_step

if find_spec("optim"):
    import optim
if find_spec("loop"):
    import loop


def model(settings: dict[str, Any]) -> nn.Layer:
    """Return the network, freshly initialized."""
    settings = SETTINGS | settings
    return ResNet18(settings["classes"], width=settings["width"])


def optimizer(model: nn.Layer, steps_per_epoch: int, settings: dict[str, Any]) -> tuple:
    """Return the optimizer, its schedule, and the loss that the step is given."""
    settings = SETTINGS | settings
    criterion = loop.make_loss(settings["label_smoothing"]) if find_spec("loop") else None
    if not find_spec("optim"):  # what steps it is graded all the same, by a rate that stays
        constant = paddle.optimizer.lr.LambdaDecay(settings["lr"], lambda step: 1.0)
        return paddle.optimizer.SGD(constant, parameters=model.parameters()), constant, criterion
    return *optim.build(model, Namespace(**settings), steps_per_epoch), criterion


def evaluate(model: Callable, batches: list[dict[str, paddle.Tensor]]) -> dict[str, float]:
    """Return loss and accuracies of the homework's evaluation, by the framework's own loss."""
    pairs = ((batch["images"], batch["labels"]) for batch in batches)
    return loop.evaluate(model, nn.CrossEntropyLoss(), pairs)
