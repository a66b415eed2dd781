"""Checkpoints of the homework that ask a little more than those of tools/align.py."""

from dataclasses import replace
from math import prod

from homework.plan import Drawn
from homework.trees import MODEL
from portproof.checks import forward, loss
from portproof.core.comparison import describe
from portproof.core.inputs import Inputs
from portproof.core.training_pair import TrainingPair
from portproof.core.verdict import ALIGNED, Verdict
from portproof.networks import layer_types
from portproof.networks.matching import Network
from portproof.report.forward import worst

SMOOTHING = 0.1
SMOOTHED = 1e-6  # relative; Paddle keeps the smoothing as a float32 number


def check_forward(pair: TrainingPair, drawn: Drawn) -> Verdict:
    """Compare every layer's output at two sizes, and the network made without arguments."""
    counts = {side: count(network) for side, network in describe_default(pair).items()}
    sides = {
        name: replace(side, settings=side.settings | {"classes": drawn.classes})
        for name, side in pair.sides.items()
    }
    folder = pair.folder / "forward"
    folder.mkdir()
    inputs = Inputs(None, "float32", 2, drawn.sizes, None, drawn.seed)
    compared = forward.compare(sides, folder, inputs)
    verdict = Verdict("forward", float64=worst(compared, "float64"))
    if not compared.aligned:
        cause = compared.causes[0]
        verdict.diverge(cause.where, cause.cause, f"{cause.line or ''} {cause.fix}")
    elif counts["torch"] != counts["paddle"]:
        cause = f"ResNet18() has {counts['paddle']:,} parameters, made without arguments, in "
        cause += f"PaddlePaddle and {counts['torch']:,} in PyTorch"
        verdict.diverge("ResNet18()", cause, "")
    return verdict


def describe_default(pair: TrainingPair) -> dict[str, Network]:
    """Return the networks as they are made without arguments."""
    sides = {
        name: replace(side, model={"name": f"{side.folder / MODEL}:ResNet18", "arguments": {}})
        for name, side in pair.sides.items()
    }
    return describe(sides, pair.folder / "default", [1, 3, 64, 64], "float32")


def count(network: Network) -> int:
    """Return the number of parameters and running statistics."""
    keys = network.keys.values()
    return sum(prod(key.shape) for key in keys if key.role != layer_types.COUNTER and not key.tied)


def check_loss(pair: TrainingPair) -> Verdict:
    """Compare the loss without label smoothing and with it."""
    verdict = loss.check_loss(pair)
    if verdict.verdict == ALIGNED:
        settings = {"label_smoothing": SMOOTHING}
        verdict = loss.check_loss(pair, settings, tolerance=SMOOTHED)
    return verdict
