"""A right port of the homework, made from the torch files by exchanging text.

It is not kept as a file: a student who looks around should not find the answer by chance.
"""

import ast
import re
from pathlib import Path

from homework.trees import FILES, TORCH
from tests.support.planting import Edit, occurrences, plant

NAMES = [
    (r"\bimport torch\b", "import paddle"), (r"\bfrom torch import", "from paddle import"),
    (r"\btorch\.", "paddle."), (r"\bnn\.Module\b", "nn.Layer"),
    (r"(Conv|BatchNorm|MaxPool|AdaptiveAvgPool)2d", r"\g<1>2D"), (r"bias=False", "bias_attr=False"),
    (r"eps=1e-5, momentum=0\.1", "epsilon=1e-5, momentum=0.9"),
]  # fmt: skip
EXCHANGED = [
    # The network.
    (r"network\.modules\(\)", "network.sublayers()"),
    (r"layer\.out_channels \* math\.prod\(layer\.kernel_size\)",
     "layer.weight.shape[0] * math.prod(layer.weight.shape[2:])"),
    (r"layer\.in_features", "layer.weight.shape[0]"),
    (r"nn\.init\.normal_\((\S+), (.*)\)\n", r"nn.initializer.Normal(\2)(\1)\n"),
    (r"nn\.init\.uniform_\((\S+), (.*)\)\n", r"nn.initializer.Uniform(\2)(\1)\n"),
    (r"nn\.init\.zeros_\((\S+)\)\n", r"nn.initializer.Constant(0.0)(\1)\n"),
    # Schedule and optimizer.
    (r"from paddle\.optim import SGD", "from paddle.optimizer import Momentum"),
    (r"from paddle\.optim\.lr_scheduler import \(.*?\)\n",
     "from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup\n"
     "from paddle.optimizer.lr import LRScheduler, StepDecay\n"),
    (r"\bSGD([\],():])", r"Momentum\1"),
    (r"    optimizer = Momentum\(\n        \[\n.*?\n    \)\n", ""),
    (r"    steps = ", "    lr = scale_lr(args, world_size)\n    steps = "),
    (r"StepLR\(optimizer", "StepDecay(lr"),
    (r"CosineAnnealingLR\(optimizer", "CosineAnnealingDecay(lr"),
    (r"        warmup = .*?\n    return optimizer",
     "        scheduler = LinearWarmup(scheduler, warmup_steps, WARMUP_START * lr, lr)\n"
     "    optimizer = Momentum(\n        scheduler,\n        parameters=[\n"
     '            {"params": [p for p in parameters if p.ndim > 1]},\n'
     '            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},\n'
     "        ],\n        momentum=args.momentum,\n        weight_decay=args.weight_decay,\n"
     "        use_nesterov=args.nesterov,\n    )\n    return optimizer"),
    (r'optimizer\.param_groups\[0\]\["lr"\]', "optimizer.get_lr()"),
    # Metric and loop.
    (r"logits\.argsort\(dim=", "paddle.argsort(logits, axis="),
    (r"\.any\(dim=", ".any(axis="),
    (r"\.zero_grad\(\)", ".clear_grad()"),
    (r"paddle\.optim\.Optimizer", "paddle.optimizer.Optimizer"),
    (r"paddle\.optim\.lr_scheduler", "paddle.optimizer.lr"),
]  # fmt: skip


def port(name: str) -> str:
    """Return the text of one file of a right port."""
    text = (TORCH / name).read_text()
    for old, new in NAMES + EXCHANGED:
        text = re.sub(old, new, text, flags=re.DOTALL if "?" in old else 0)
    return text


def write_port(folder: Path, edits: list[Edit] = ()) -> Path:
    """Write a right port, then change its code; an edit that finds nothing is an error."""
    (folder / "models").mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(port(name))
    plant(folder, edits)
    return folder


def files_of(edits: list[Edit]) -> list[str]:
    """Return the files of a right port that have what edits change."""
    parsed = {name: ast.parse(port(name)) for name in FILES}
    return [name for name in FILES if any(any(occurrences(parsed[name], e.old)) for e in edits)]
