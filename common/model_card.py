"""The model card: what a checkpoint is, how to use it, and what it is not good for.

The headings follow M. Mitchell et al., "Model Cards for Model Reporting", 2019,
https://arxiv.org/abs/1810.03993
"""

import argparse
import platform
import shlex
from pathlib import Path

from common import networks
from common.folder import FolderIndex
from common.paths import ROOT, SAMPLE_DIR
from portproof.system.atomic import replace_whole
from portproof.system.versions import package_versions

NAME = "model_card.md"
MOST_CLASSES = 20  # named on the card
# Arguments that say how the weights came about; the rest says where and on what they ran.
RECIPE = (
    "recipe", "model", "image_size", "batch_size", "epochs", "lr", "gpus", "schedule",
    "lr_step_size", "lr_gamma", "lr_patience", "warmup_epochs", "momentum", "nesterov",
    "weight_decay", "dropout", "accumulate", "clip_grad", "label_smoothing", "train_crop",
    "colour_noise", "ema", "amp", "seed", "weights",
)  # fmt: skip
OTHER = {"torch": "paddle", "paddle": "torch"}


def write(
    best: Path,
    args: argparse.Namespace,
    row: dict[str, float],
    train: FolderIndex,
    val: FolderIndex,
) -> None:
    """Write model_card.md beside the checkpoint `best`, whole or not at all.

    `row` has the metrics of its epoch, as in metrics.jsonl.
    """
    parts = [
        _head(args, val),
        _data(args, train, val),
        _recipe(args),
        _results(args, row),
        _versions(),
        _use(best, args),
        _limits(args, val),
    ]
    with replace_whole(best.with_name(NAME)) as partial:
        partial.write_bytes("\n".join(parts).encode("utf-8", "backslashreplace"))


def _head(args: argparse.Namespace, val: FolderIndex) -> str:
    framework = {"torch": "PyTorch", "paddle": "PaddlePaddle"}[args.framework]
    return (
        f"# AlexNet, {len(val.classes)} classes, {args.image_size} pixels, {framework}\n\n"
        f"{networks.ABOUT[args.model]}. It takes pictures "
        f"[N, 3, {args.image_size}, {args.image_size}], RGB, float32, resized, cropped and "
        f"normalized as in `AlexNet-{args.framework}/presets.py`, and gives logits "
        f"[N, {len(val.classes)}].\n"
    )


def _data(args: argparse.Namespace, train: FolderIndex, val: FolderIndex) -> str:
    folder = args.data_path or f"the embedded sample ({SAMPLE_DIR})"
    named = ", ".join(val.classes[:MOST_CLASSES])
    more = len(val.classes) - MOST_CLASSES
    return (
        "## Data\n\n"
        f"- folder: {_line(folder)}\n"
        f"- pictures: {len(train)} to train, {len(val)} to validate\n"
        f"- classes: {_line(named)}{f' and {more} more' if more > 0 else ''}\n"
    )


def _recipe(args: argparse.Namespace) -> str:
    rows = [f"| `{name}` | {_line(getattr(args, name))} |" for name in RECIPE]
    return "\n".join(["## Recipe\n", "| argument | value |", "|---|---|", *rows, ""])


def _results(args: argparse.Namespace, row: dict[str, float]) -> str:
    rows = [f"| `{name}` | {value:.6g} |" for name, value in row.items() if name != "epoch"]
    epoch = f"epoch {row['epoch']} of {args.epochs}"
    head = f"After {epoch}, the best so far by `val_top1`; accuracies in per cent."
    return "\n".join(["## Results\n", head, "", "| metric | value |", "|---|---|", *rows, ""])


def _versions() -> str:
    found = {"python": platform.python_version(), **package_versions()}
    return "## Versions\n\n" + ", ".join(f"{name} {v}" for name, v in found.items()) + "\n"


def _use(best: Path, args: argparse.Namespace) -> str:
    framework, other = args.framework, OTHER[args.framework]
    weights = shlex.quote(str(best.resolve()))
    exported = shlex.quote(str(best.resolve().with_suffix(".onnx")))
    data = f" --data-path {shlex.quote(str(args.data_path))}" if args.data_path else ""
    measured = f" --model {args.model} --image-size {args.image_size}{data}"
    predict, train = f"AlexNet-{framework}/predict.py", f"AlexNet-{framework}/train.py"
    measure = f".venv/bin/python {train} --eval-only --weights {weights}{measured}\n"
    head = f"## Use\n\nFrom the folder {ROOT}, with the environment of `scripts/setup.sh`. "
    if args.model in networks.SMALL:  # the weights alone do not tell which of them it is
        return f"{head}The results above:\n\n```\n{measure}```\n"
    return (
        f"{head}What pictures show, and the results above:\n\n"
        "```\n"
        f".venv/bin/python {predict} PICTURE --weights {weights}\n"
        f"{measure}"
        "```\n\n"
        "As ONNX, which the other tree and other programs read:\n\n"
        "```\n"
        f".venv/bin/python AlexNet-{framework}/export.py --weights {weights} --format onnx{data}\n"
        f".venv/bin/python AlexNet-{other}/predict.py PICTURE --weights {exported}\n"
        "```\n"
    )


def _limits(args: argparse.Namespace, val: FolderIndex) -> str:
    limits = [
        f"Pictures of anything but its {len(val.classes)} classes: it knows no other answer and "
        "gives one of them, at times with a high probability.",
        "Its probabilities as a measure of certainty: they were not calibrated.",
        "The results above as a forecast: the best epoch was chosen by the same val pictures, and "
        "pictures of another origin are harder.",
        "Decisions about people, or where a mistake does harm: nobody has looked at how its "
        "mistakes are spread over groups or conditions.",
    ]
    if args.data_path is None:
        limits.insert(0, "Photographs: it has seen drawn shapes only.")
    return "## Not good for\n\n" + "".join(f"- {limit}\n" for limit in limits)


def _line(value: object) -> str:
    """Return a value as one line that a table and a list can hold."""
    return " ".join(str(value).split()).replace("|", "\\|")
