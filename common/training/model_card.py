"""The model card: what a checkpoint is, how to use it, and what it is not good for.

The headings follow M. Mitchell et al., "Model Cards for Model Reporting", 2019,
https://arxiv.org/abs/1810.03993
"""

import argparse
import platform
from pathlib import Path

from common import networks
from common.data.folder import FolderIndex
from common.paths import ROOT, SAMPLE_DIR
from portproof.report import markdown
from portproof.system.atomic import replace_atomically
from portproof.system.frameworks import FRAMEWORKS, NAMES
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


def write(
    best: Path,
    args: argparse.Namespace,
    row: dict[str, float],
    train: FolderIndex,
    val: FolderIndex,
) -> None:
    """Write model_card.md beside the checkpoint `best`; `row` has the metrics of its epoch."""
    versions = {"python": platform.python_version()} | package_versions()
    text = markdown.render(
        Path(__file__).with_suffix(".md.j2"),
        best=best.resolve(),
        args=args,
        row=row,
        train=train,
        val=val,
        about=networks.ABOUT[args.model],
        is_small=args.model in networks.SMALL,
        framework=NAMES[args.framework],
        other=next(name for name in FRAMEWORKS if name != args.framework),
        recipe=RECIPE,
        most=MOST_CLASSES,
        root=ROOT,
        sample=f"the embedded sample ({SAMPLE_DIR})",
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
    )
    with replace_atomically(best.with_name(NAME)) as partial:
        partial.write_bytes(text.encode("utf-8", "backslashreplace"))
