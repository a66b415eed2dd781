"""Checkpoints of the homework that ask a little more than those of tools/align.py."""

from dataclasses import replace
from math import prod

import numpy as np

from homework import trees
from homework.plan import Drawn
from tools import forward, kinds, small_checks
from tools.matching import Network
from tools.rehearsals import Rehearsals
from tools.verdicts import ALIGNED, Verdict

SMOOTHING = "0.1"
SMOOTHED = 1e-6  # relative; Paddle keeps the smoothing as a float32 number


def check_forward(rehearsals: Rehearsals, drawn: Drawn) -> Verdict:
    """Compare every layer's output at two sizes, and the network made without arguments."""
    verdict = Verdict("forward")
    counts = {side: count(network) for side, network in describe_default(rehearsals).items()}
    model = {"arguments": {"num_classes": drawn.classes}}
    sides = {name: replace(side, model=model) for name, side in rehearsals.sides.items()}
    folder = rehearsals.folder / "forward"
    folder.mkdir()
    inputs = forward.Inputs(None, "float32", 2, drawn.sizes, None, drawn.seed)
    found = forward.compare(sides, folder, inputs)
    rows = [row.float64.relative for rows in found.rows.values() for row in rows if row.float64]
    verdict.float64 = max(rows, default=None)
    if not found.aligned:
        cause = found.causes[0]
        verdict.diverge(cause.where, cause.cause, f"{cause.line or ''} {cause.fix}")
    elif counts["torch"] != counts["paddle"]:
        told = f"ResNet18() has {counts['paddle']:,} parameters, made without arguments, in "
        told += f"PaddlePaddle and {counts['torch']:,} in PyTorch"
        verdict.diverge("ResNet18()", told, "")
    return verdict


def describe_default(rehearsals: Rehearsals) -> dict[str, Network]:
    """Return the networks as they are made without arguments."""
    sides = {
        name: replace(side, model={"name": f"{side.tree / trees.MODEL}:ResNet18", "arguments": {}})
        for name, side in rehearsals.sides.items()
    }
    example = np.zeros([1, 3, 64, 64], np.float32)
    return forward.describe(sides, rehearsals.folder / "default", example, "float32")


def count(network: Network) -> int:
    """Return the number of parameters and running statistics."""
    keys = network.keys.values()
    return sum(prod(key.shape) for key in keys if key.role != kinds.COUNTER and not key.tied)


def check_loss(rehearsals: Rehearsals) -> Verdict:
    """Compare the loss without label smoothing and with it."""
    verdict = small_checks.check_loss(rehearsals)
    if verdict.verdict == ALIGNED:
        verdict = small_checks.check_loss(
            rehearsals, "--label-smoothing", SMOOTHING, tolerance=SMOOTHED
        )
    return verdict
