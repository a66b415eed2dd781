"""Train AlexNet on an image folder.

    python AlexNet-torch/train.py                                # on the embedded sample
    python AlexNet-torch/train.py --data-path DIR                # on DIR/train and DIR/val
    python AlexNet-torch/train.py --resume auto                  # on from where a run stopped
    torchrun --nproc-per-node 2 AlexNet-torch/train.py           # in two processes

All options: --help.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

import boards
import checkpoint
import crops
import distributed
import metric
import optim
import products
from common import (
    draws,
    errors,
    folder,
    memory,
    mistakes,
    model_card,
    plots,
    processor,
    public_data,
    verify,
)
from common.args import parse
from common.finite import Recent
from common.keeper import Keeper
from common.progress import Progress
from common.run_folder import RunFolder
from common.state import first_line
from common.stopping import Stop
from common.timing import Waiting
from datasets.folder import make_loader, read_batches
from ema import Average
from models import MODELS

REFRESH = 10  # batches between two looks at the running loss: each look waits for the device
LAYOUT = {False: torch.contiguous_format, True: torch.channels_last}
AMP = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Evaluation(NamedTuple):
    results: dict[str, float]  # val_loss; val_top1 and val_top5 in per cent
    predicted: np.ndarray  # [N], int64, classes in the order of the folder
    probability: np.ndarray  # [N], float32, of the predicted classes


@distributed.membership()
def main() -> None:
    errors.speak_once(distributed.own_rank())
    args = parse("torch")
    device = choose_device(args.device)
    set_arithmetic(args, device)
    rank, world_size = distributed.start(device)
    train_loader, val_loader, classes = load_data(args, rank, world_size)

    torch.manual_seed(draws.weights_seed(args.seed))
    model = MODELS[args.model](num_classes=len(classes), dropout=args.dropout).to(device)
    model = model.to(memory_format=LAYOUT[args.channels_last])
    products.use_onednn(model)
    criterion = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)
    weights = args.weights or (args.resume if args.eval_only else None)
    if weights:
        checkpoint.load_weights(weights, model, args.finetune)
    if args.eval_only:
        evaluation = evaluate(model, criterion, val_loader, device, world_size)
        print(describe(evaluation.results, digits=6))  # one of 50,000 pictures is 0.002
        return

    steps_per_epoch = train_loader.batch_sampler.steps
    optimizer, scheduler = optim.build(model, args, steps_per_epoch, world_size)
    scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")
    average = Average(model, args.ema)
    progress = Progress()
    if args.resume:
        contents = checkpoint.load(args.resume)
        checkpoint.restore(contents, args.resume, model, optimizer, scheduler, scaler, average)
        progress = Progress.of(contents, args.resume, rank, world_size)
    run = RunFolder(args, progress.epoch, gpu_name(device), writes=rank == 0)
    run.record_bad_pictures(train_loader.dataset, val_loader.dataset)

    def write(path: Path, progress: Progress) -> None:
        contents = checkpoint.pack(model, optimizer, scheduler, scaler, average)
        facts = {"classes": classes, "arguments": run.arguments(), "world_size": world_size}
        checkpoint.save(path, contents | progress.as_dict() | facts)

    def agree(values: list[int]) -> list[int]:
        return distributed.highest(values, device, world_size)

    keeper = Keeper(
        *(args, run, Stop(), progress, steps_per_epoch, write, agree), alone=world_size == 1
    )
    board = boards.open_board(run.path, args.tensorboard and run.writes)
    network = compile_network(model, args, device) if args.compile else model
    network = distributed.wrap(network, device, world_size)
    print(f"run folder: {run.path}")
    print(f"data: {len(train_loader.dataset)} train, {len(val_loader.dataset)} val pictures")
    print(f"model: {args.model}, {len(classes)} classes, {args.image_size} pixels")
    print(f"device: {device} x {world_size}")
    lr = optim.scale_lr(args, world_size)
    print(f"lr: {args.lr:g} for {args.gpus} GPUs in the recipe, {lr:g} here")

    evaluation = None
    while progress.epoch < args.epochs:
        progress.start_clock()
        row = {"epoch": progress.epoch + 1}
        row |= train_one_epoch(
            *(network, criterion, optimizer, scheduler, scaler, average),
            *(train_loader, device, args, progress, keeper),
        )
        with average.in_place():
            evaluation = evaluate(model, criterion, val_loader, device, world_size)
        row |= evaluation.results
        optim.end_epoch(scheduler, error=100 - row["val_top1"])
        row["seconds"] = progress.taken()

        is_best = progress.end_epoch(row["val_top1"])
        run.log(row)  # before the checkpoint: a run that goes on drops rows of epochs that it lacks
        boards.add(board, row)
        if is_best and run.writes:
            best = run.path / f"best{checkpoint.SUFFIX}"
            model_card.write(best, args, row, train_loader.dataset.index, val_loader.dataset.index)
        print(f"epoch {progress.epoch}/{args.epochs}: {describe(row)}", flush=True)
        keeper.save(progress, is_best)

    with average.in_place():
        evaluation = evaluation or evaluate(model, criterion, val_loader, device, world_size)
    if run.writes:
        leave_results(args, run, val_loader, evaluation)


def leave_results(
    args: argparse.Namespace, run: RunFolder, val_loader: DataLoader, evaluation: Evaluation
) -> None:
    """Write the curves and the page of mistakes, and say what came out."""
    curves, page = run.path / "curves.png", run.path / "misclassified.html"
    plots.write_curves(curves, run.read_metrics(), f"{args.framework}, recipe {args.recipe}")
    mistakes.write_page(
        page, val_loader.dataset.index, evaluation.predicted, evaluation.probability
    )
    print(f"result: {describe(evaluation.results)}")
    print(f"look at: {curves} and {page}")


def choose_device(name: str) -> torch.device:
    """Use the device called auto, cpu, gpu or gpu:NUMBER. Raises UserError if it is missing."""
    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    number = int(name.partition(":")[2] or distributed.local_rank())
    if number >= count:
        raise errors.UserError(
            f"--device {name}: this machine and this torch have {count} usable GPUs; "
            "use --device cpu, or install a torch built for your GPU"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def gpu_name(device: torch.device) -> str | None:
    """Return what the device is called by its maker; None for a processor."""
    return None if device.type == "cpu" else torch.cuda.get_device_name(device)


def set_arithmetic(args: argparse.Namespace, device: torch.device) -> None:
    """Choose how the framework computes. Raises UserError for what it cannot do here."""
    if args.amp == "auto":
        args.amp = "bf16" if is_quick_in_bf16(device) else "off"
    if args.amp == "fp16" and device.type == "cpu":
        raise errors.UserError("--amp fp16: needs a GPU; on this processor use --amp bf16")
    # On a GPU, have each convolution try its algorithms once and take the quickest.
    torch.backends.cudnn.benchmark = not args.deterministic
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Pooling on a GPU has no other algorithm: that one warns, and does not end the run.
        torch.use_deterministic_algorithms(True, warn_only=True)


def is_quick_in_bf16(device: torch.device) -> bool:
    """Say whether the device multiplies bf16 numbers faster than float32."""
    if device.type == "cpu":
        return processor.has_bf16()
    return torch.cuda.is_bf16_supported(including_emulation=False)


def compile_network(model: nn.Module, args: argparse.Namespace, device: torch.device) -> nn.Module:
    """Return the network as the framework compiles it. Raises UserError where it cannot."""
    network = torch.compile(model)
    try:  # it compiles at the first call
        network(torch.zeros(args.batch_size, 3, args.image_size, args.image_size, device=device))
    except Exception as error:
        raise errors.UserError(
            f"--compile: not possible here ({first_line(error)}); torch.compile needs a C++ "
            "compiler (Debian and Ubuntu: apt install g++); install it, or leave --compile out"
        ) from error
    return network


def load_data(
    args: argparse.Namespace, rank: int = 0, world_size: int = 1
) -> tuple[DataLoader | None, DataLoader, list[str]]:
    """Return the loaders of train (None if evaluation alone lacks it) and val, and the classes."""
    data_path = public_data.locate(args)
    train, val = folder.index_data(data_path, not args.eval_only, strict=not args.verify_data)
    if args.verify_data:
        train, val = verify.leave_out_bad(train, val, args.skip_bad)
    train_loader = make_loader(train, args, True, rank, world_size) if train else None
    return train_loader, make_loader(val, args, False, rank, world_size), val.classes


def train_one_epoch(
    model: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    average: Average,
    loader: DataLoader,
    device: torch.device,
    args: argparse.Namespace,
    progress: Progress,
    keeper: Keeper,
) -> dict[str, float]:
    """Train over every picture once; return the mean loss, top-1 in per cent, and images/s.

    An epoch that was broken off goes on where `progress` says.
    """
    model.train()
    batches, epoch = loader.batch_sampler, progress.epoch
    rank, world_size = batches.rank, batches.world_size
    loss_sum = torch.tensor(progress.loss_sum, device=device)
    correct = torch.tensor(progress.correct, device=device)
    seen = seen_before = progress.seen
    if progress.step == 0:
        progress.lr = optim.current_lr(optimizer)
    first = progress.step * args.accumulate  # number of the first batch
    recent = Recent(loader, epoch, keeper)
    waiting = Waiting()
    bar = progress_bar(loader, f"epoch {epoch + 1}/{args.epochs}", done=first)
    for number, (images, labels) in enumerate(
        waiting.count(read_batches(loader, epoch, first, device)), first
    ):  # [N, 3, S, S], [N]
        images = images.to(device, memory_format=LAYOUT[args.channels_last])
        labels = labels.to(device)
        torch.manual_seed(draws.dropout_seed(args.seed, epoch, number * world_size + rank))
        count, weight, is_last = batches.share(number)
        loss, logits = train_step(
            *(model, criterion, optimizer, scheduler, images, labels),
            *(scaler, args, weight, is_last),
        )
        memory.keep_freed()  # not before: what the first step makes to last stays out of the way
        loss_sum += loss * count
        correct += metric.count_correct(logits, labels, k=1) * (count > 0)
        seen += count
        recent.note(number, loss)
        if number % REFRESH == 0:
            recent.check()
            shown = max(seen, 1)  # of several processes, one may have had none yet
            loss_now, top1_now = loss_sum.item() / shown, 100 * correct.item() / shown
            lr = optim.current_lr(optimizer)
            bar.set_postfix_str(f"loss {loss_now:.3f}, top-1 {top1_now:.1f}, lr {lr:.2g}", False)
        bar.update(len(labels) * world_size)
        if is_last:
            average.update()
        if is_last and keeper.is_due():
            recent.check(model.parameters())
            sums = distributed.total([loss_sum.item(), correct.item(), seen], device, world_size)
            progress.note(-(-(number + 1) // args.accumulate), *sums)
            keeper.save(progress)
    bar.close()
    recent.check(model.parameters())
    if rank == 0:
        waiting.warn(args.workers)
    loss_sum, correct, seen, trained = distributed.total(
        [loss_sum.item(), correct.item(), seen, seen - seen_before], device, world_size
    )
    return {
        "lr": progress.lr,
        "train_loss": loss_sum / seen,
        "train_top1": 100 * correct / seen,
        "images_per_s": trained / waiting.total(),
        "data_seconds": waiting.for_data,
        "compute_seconds": waiting.for_compute,
    }


def train_step(
    model: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    images: torch.Tensor,
    labels: torch.Tensor,
    scaler: torch.amp.GradScaler,
    args: argparse.Namespace,
    weight: float = 1.0,
    is_last: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take one step on images [N, 3, S, S] and labels [N]; return the loss [] and logits [N, C].

    A step may take several batches: each has its `weight` in it, and the last one `is_last`.
    """
    with distributed.keep_gradients(model, is_last):
        with torch.autocast(images.device.type, AMP[args.amp], enabled=args.amp != "off"):
            logits = model(images)  # [N, C]
            loss = criterion(logits, labels)
        scaler.scale(loss * weight).backward()
    if is_last:
        if args.clip_grad:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), args.clip_grad)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scheduler.step()
    return loss.detach(), logits.detach()


@torch.no_grad()
def evaluate(
    model: nn.Module,
    criterion: nn.Module,
    loader: DataLoader,
    device: torch.device,
    world_size: int = 1,
) -> Evaluation:
    """Measure the model on every picture once, whatever the batches and the processes."""
    model.eval()
    loss_sum = torch.zeros((), device=device)
    correct1 = torch.zeros((), dtype=torch.int64, device=device)
    correct5 = torch.zeros((), dtype=torch.int64, device=device)
    predicted, probability = [], []
    bar = progress_bar(loader, "evaluating")
    for images, labels in read_batches(loader, epoch=0, device=device):  # [N, 3, S, S], [N]
        images, labels = images.to(device), labels.to(device)
        logits = crops.classify(model, images)  # [N, C]
        loss_sum += criterion(logits, labels) * len(labels)
        correct1 += metric.count_correct(logits, labels, k=1)
        correct5 += metric.count_correct(logits, labels, k=5)
        highest = logits.softmax(dim=1).max(dim=1)
        predicted.append(highest.indices.cpu().numpy())
        probability.append(highest.values.cpu().numpy())
        bar.update(len(labels) * world_size)
    bar.close()
    seen = len(loader.dataset)
    loss_sum, correct1, correct5 = distributed.total(
        [loss_sum.item(), correct1.item(), correct5.item()], device, world_size
    )
    results = {
        "val_loss": loss_sum / seen,
        "val_top1": 100 * correct1 / seen,
        "val_top5": 100 * correct5 / seen,
    }
    predicted = np.concatenate([np.zeros(0, np.int64), *predicted])
    probability = np.concatenate([np.zeros(0, np.float32), *probability])
    return Evaluation(
        results,
        distributed.gather(predicted, seen, world_size),
        distributed.gather(probability, seen, world_size),
    )


def progress_bar(loader: DataLoader, title: str, done: int = 0) -> tqdm:
    """Return a bar that counts pictures, `done` batches of them over; silent without a terminal."""
    quiet = not sys.stderr.isatty()
    total = len(loader.dataset)
    done = min(done * loader.batch_sampler.batch_size, total)
    return tqdm(total=total, initial=done, desc=title, unit=" images", leave=False, disable=quiet)


def describe(row: dict[str, float], digits: int = 4) -> str:
    """Return the metrics of one epoch as a line for people."""
    return "  ".join(f"{name} {value:.{digits}g}" for name, value in row.items() if name != "epoch")


if __name__ == "__main__":
    errors.run(main)
