"""Say what images show: the five likeliest classes of each.

    python AlexNet-torch/predict.py IMAGE... --weights runs/NAME/best.pth
    python AlexNet-torch/predict.py IMAGE... --weights model.onnx      # see export.py

IMAGE is a file, a folder or a pattern. All options: --help.
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from torch.utils.data import DataLoader

from common.data.folder import FolderIndex
from common.inference import input_paths, metadata, predictions
from common.inference.metadata import ModelMetadata
from common.inference.predictions import Answer
from common.inference.use_args import parse_predict
from common.training.progress_bar import show_progress
from datasets.folder import make_loader, read_batches
from export import is_exported, load_model, open_exported
from portproof.system import errors
from presets import MEAN, STD
from runtime import choose_device

Run = Callable[[torch.Tensor], torch.Tensor]  # images [N, 3, S, S] -> logits [N, C]


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_predict("torch", argv)
    paths = input_paths.find(args.images)
    run, known = open_model(args)
    settings = known.loader_settings(args.batch_size, args.workers)
    index = FolderIndex([], paths, [0] * len(paths))  # with no label that is looked at
    loader = make_loader(index, settings, train=False)
    answers = predict(run, loader, known, args)
    predictions.write(answers, known, args)


def open_model(args: argparse.Namespace) -> tuple[Run, ModelMetadata]:
    """Return what runs --weights, a live model or an exported one, and what is known of it."""
    if is_exported(args.weights):
        exported = open_exported(args.weights)
        known = metadata.of_export(exported, args, MEAN, STD)
        return lambda images: torch.from_numpy(exported.run(images.numpy())), known
    device = choose_device(args.device)
    model, known = load_model(args.weights, args)
    model.to(device)
    return lambda images: model(images.to(device)), known


@torch.no_grad()
def predict(
    run: Run, loader: DataLoader, known: ModelMetadata, args: argparse.Namespace
) -> list[Answer]:
    """Return the answer for each image of the loader, in order.

    Raises UserError at an unreadable image, or where the weights give no numbers.
    """
    answers = []
    batches = show_progress(read_batches(loader, epoch=0), loader, "predicting")
    for images, _ in batches:  # [N, 3, S, S]
        logits = run(images)  # [N, C]
        metadata.check_count(known, tuple(logits.shape), args.weights)
        probabilities = logits.softmax(dim=1)
        k = min(predictions.TOP, logits.shape[1])
        top, classes = probabilities.topk(k, dim=1)  # [N, k], likeliest first
        index, first = loader.dataset.index, len(answers)
        answers += predictions.pair(classes.tolist(), top.tolist(), index, first)
    return answers


if __name__ == "__main__":
    errors.run(main)
