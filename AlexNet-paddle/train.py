"""Train AlexNet on an image folder.

    python AlexNet-paddle/train.py                                # on the embedded sample
    python AlexNet-paddle/train.py --data-path DIR                # on DIR/train and DIR/val
    python AlexNet-paddle/train.py --resume runs/NAME/last.pdparams    # on from where a run stopped

All options: --help.
"""

import argparse
import sys
import time
from typing import NamedTuple

from common import processor

with processor.paddle_settings():  # they count only if they stand before the first import
    import paddle

import numpy as np
from paddle import nn
from paddle.io import DataLoader
from tqdm import tqdm

import checkpoint
import metric
import optim
from common import draws, errors, folder, mistakes, plots, public_data, verify
from common.args import parse
from common.run_folder import RunFolder
from datasets.folder import make_loader, read_batches
from models import AlexNet

REFRESH = 10  # steps between two looks at the running loss: each look waits for the device


class Evaluation(NamedTuple):
    results: dict[str, float]  # val_loss; val_top1 and val_top5 in per cent
    predicted: np.ndarray  # [N], int64, classes in the order of the folder
    probability: np.ndarray  # [N], float32, of the predicted classes


def main() -> None:
    args = parse("paddle")
    device = choose_device(args.device)
    train_loader, val_loader, classes = load_data(args)

    paddle.seed(draws.weights_seed(args.seed))
    model = AlexNet(num_classes=len(classes), dropout=args.dropout)
    criterion = nn.CrossEntropyLoss()
    weights = args.weights or (args.resume if args.eval_only else None)
    if weights:
        checkpoint.load_weights(weights, model, args.finetune)
    if args.eval_only:
        print(describe(evaluate(model, criterion, val_loader, device).results))
        return

    optimizer, scheduler = optim.build(model, args, len(train_loader))
    epoch, best_top1 = 0, -1.0
    if args.resume:
        contents = checkpoint.load(args.resume)
        checkpoint.restore(contents, args.resume, model, optimizer, scheduler)
        epoch, best_top1 = contents["epoch"], contents["best_top1"]
    run = RunFolder(args, epoch)
    run.record_bad_pictures(train_loader.dataset, val_loader.dataset)
    print(f"run folder: {run.path}")
    print(f"data: {len(train_loader.dataset)} train, {len(val_loader.dataset)} val pictures")
    print(f"model: {len(classes)} classes, {args.image_size} pixels, on {device}")
    print(f"lr: {args.lr:g} for {args.gpus} GPUs in the recipe, {optim.scale_lr(args, 1):g} here")

    evaluation = None
    while epoch < args.epochs:
        start = time.perf_counter()
        row = {"epoch": epoch + 1, "lr": optim.current_lr(optimizer)}
        row |= train_one_epoch(
            model, criterion, optimizer, scheduler, train_loader, device, epoch, args
        )
        evaluation = evaluate(model, criterion, val_loader, device)
        row |= evaluation.results
        row["seconds"] = time.perf_counter() - start

        epoch += 1
        is_best = row["val_top1"] > best_top1
        best_top1 = max(row["val_top1"], best_top1)
        contents = checkpoint.pack(
            model, optimizer, scheduler, epoch=epoch, best_top1=best_top1, classes=classes
        )
        checkpoint.save(run.path, contents, is_best)
        run.log(row)
        print(f"epoch {epoch}/{args.epochs}: {describe(row)}", flush=True)

    evaluation = evaluation or evaluate(model, criterion, val_loader, device)
    plots.write_curves(
        run.path / "curves.png", run.read_metrics(), f"{args.framework}, recipe {args.recipe}"
    )
    page = run.path / "misclassified.html"
    mistakes.write_page(
        page, val_loader.dataset.index, evaluation.predicted, evaluation.probability
    )
    print(f"result: {describe(evaluation.results)}")
    print(f"look at: {run.path / 'curves.png'} and {page}")


def choose_device(name: str) -> str:
    """Use the device called auto, cpu, gpu or gpu:NUMBER. Raises UserError if it is missing."""
    count = paddle.device.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count):
        paddle.set_device("cpu")
        return "cpu"
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        raise errors.UserError(
            f"--device {name}: this machine and this paddle have {count} usable GPUs; "
            "use --device cpu, or install paddlepaddle-gpu"
        )
    paddle.set_device(f"gpu:{number}")
    return f"gpu:{number}"


def load_data(args: argparse.Namespace) -> tuple[DataLoader | None, DataLoader, list[str]]:
    """Return the loaders of train (None if evaluation alone lacks it) and val, and the classes."""
    data_path = public_data.locate(args)
    train, val = folder.index_data(data_path, not args.eval_only, strict=not args.verify_data)
    if args.verify_data:
        train, val = verify.leave_out_bad(train, val, args.skip_bad)
    train_loader = make_loader(train, args, train=True) if train else None
    return train_loader, make_loader(val, args, train=False), val.classes


def train_one_epoch(
    model: nn.Layer,
    criterion: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    scheduler: paddle.optimizer.lr.LRScheduler,
    loader: DataLoader,
    device: str,
    epoch: int,
    args: argparse.Namespace,
) -> dict[str, float]:
    """Train over every picture once; return the mean loss, top-1 in per cent, and images/s."""
    model.train()
    loss_sum = paddle.zeros([])
    correct = paddle.zeros([], dtype="int64")
    seen = 0
    start = time.perf_counter()
    bar = progress_bar(loader, f"epoch {epoch + 1}/{args.epochs}")
    for step, (images, labels) in enumerate(read_batches(loader, epoch)):  # [N, 3, S, S], [N]
        paddle.seed(draws.dropout_seed(args.seed, epoch, step))
        lr = optim.current_lr(optimizer)
        loss, logits = train_step(model, criterion, optimizer, scheduler, images, labels)

        loss_sum += loss * len(labels)
        correct += metric.count_correct(logits, labels, k=1)
        seen += len(labels)
        if step % REFRESH == 0:
            loss_now, top1_now = loss_sum.item() / seen, 100 * correct.item() / seen
            bar.set_postfix_str(f"loss {loss_now:.3f}, top-1 {top1_now:.1f}, lr {lr:.2g}", False)
        bar.update(len(labels))
    bar.close()
    return {
        "train_loss": loss_sum.item() / seen,
        "train_top1": 100 * correct.item() / seen,
        "images_per_s": seen / (time.perf_counter() - start),
    }


def train_step(
    model: nn.Layer,
    criterion: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    scheduler: paddle.optimizer.lr.LRScheduler,
    images: paddle.Tensor,
    labels: paddle.Tensor,
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Take one step on images [N, 3, S, S] and labels [N]; return the loss [] and logits [N, C]."""
    logits = model(images)  # [N, C]
    loss = criterion(logits, labels)
    optimizer.clear_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.detach(), logits.detach()


@paddle.no_grad()
def evaluate(model: nn.Layer, criterion: nn.Layer, loader: DataLoader, device: str) -> Evaluation:
    """Measure the model on every picture once, whatever the batches."""
    model.eval()
    loss_sum = paddle.zeros([])
    correct1 = paddle.zeros([], dtype="int64")
    correct5 = paddle.zeros([], dtype="int64")
    predicted, probability = [], []
    bar = progress_bar(loader, "evaluating")
    for images, labels in read_batches(loader, epoch=0):  # [N, 3, S, S], [N]
        logits = model(images)  # [N, C]
        loss_sum += criterion(logits, labels) * len(labels)
        correct1 += metric.count_correct(logits, labels, k=1)
        correct5 += metric.count_correct(logits, labels, k=5)
        probabilities = nn.functional.softmax(logits, axis=1)
        predicted.append(probabilities.argmax(axis=1))
        probability.append(probabilities.max(axis=1))
        bar.update(len(labels))
    bar.close()
    seen = len(loader.dataset)
    results = {
        "val_loss": loss_sum.item() / seen,
        "val_top1": 100 * correct1.item() / seen,
        "val_top5": 100 * correct5.item() / seen,
    }
    predicted = paddle.concat(predicted).numpy()
    probability = paddle.concat(probability).numpy()
    return Evaluation(results, predicted, probability)


def progress_bar(loader: DataLoader, title: str) -> tqdm:
    """Return a bar that counts pictures; it is silent where nobody watches a terminal."""
    quiet = not sys.stderr.isatty()
    return tqdm(total=len(loader.dataset), desc=title, unit=" images", leave=False, disable=quiet)


def describe(row: dict[str, float]) -> str:
    """Return the metrics of one epoch as a line for people."""
    return "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")


if __name__ == "__main__":
    errors.run(main)
