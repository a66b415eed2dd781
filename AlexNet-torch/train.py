"""Train AlexNet on an image folder.

    python AlexNet-torch/train.py                      # on the embedded sample
    python AlexNet-torch/train.py --data-path DIR      # on DIR/train and DIR/val
    python AlexNet-torch/train.py --resume auto        # continue an interrupted run
    torchrun --nproc-per-node 2 AlexNet-torch/train.py # in two processes

All options: --help.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import boards
import checkpoint
import crops
import distributed
import metric
import optim
import runtime
from common.data import draws
from common.training import Epoch, Evaluation, Modules, Observer, Run, describe, show_progress
from common.training.args import parse
from datasets.folder import load_data, read_batches
from ema import ModelEMA
from models import MODELS
from portproof.system import errors


class Trainer(NamedTuple):
    """What the training reads and changes; checkpoint.py saves and restores it."""

    model: nn.Module
    network: nn.Module  # the model, compiled and wrapped to average gradients over processes
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler  # of the loss; does nothing unless --amp fp16
    ema: ModelEMA  # of the weights; none unless --ema
    device: torch.device


@distributed.job  # one voice for all processes, and one line where one of them is lost
def main(argv: Sequence[str] | None = None, observer: Observer | None = None) -> Evaluation:
    """Train as the options `argv` say; `observer` watches each step (common/training)."""
    # 1. Options, device, processes
    args = parse("torch", argv)
    device = runtime.set_up(args)  # decides --amp auto too
    rank, world_size = distributed.start(device)

    # 2. Data
    train_loader, val_loader, classes = load_data(args, rank, world_size)

    # 3. Model and loss
    torch.manual_seed(draws.weights_seed(args.seed))
    model = MODELS[args.model](num_classes=len(classes), dropout=args.dropout)
    model = runtime.move_model(model, device, args)
    criterion = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)
    weights = args.weights or (args.resume if args.eval_only else None)
    if weights:
        checkpoint.load_weights(weights, model, args.finetune)
    if args.eval_only:
        evaluation = evaluate(model, criterion, val_loader, device)
        print(describe(evaluation.results, digits=6))  # one of 50,000 images is 0.002 per cent
        return evaluation

    # 4. Optimizer, schedule, and what else goes with the model
    optimizer, scheduler = optim.build(model, args, train_loader.batch_sampler.steps, world_size)
    scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")
    ema = ModelEMA(model, args.ema)
    network = distributed.wrap(runtime.compile_model(model, device, args), device)
    trainer = Trainer(model, network, criterion, optimizer, scheduler, scaler, ema, device)

    # 5. Run: folder, checkpoints, log; where it stands
    modules = Modules(boards, checkpoint, distributed, optim)  # the run calls this tree's own
    run = Run(args, trainer, (train_loader, val_loader), modules, observer)
    if args.resume:  # a checkpoint; what auto means has been looked up by parse()
        run.resume(args.resume)
    run.begin(runtime.gpu_name(device))  # makes the folder, and says what is trained

    # 6. Loop
    evaluation = None
    while run.epoch < args.epochs:
        row = train_one_epoch(trainer, train_loader, run.start_epoch(), args)
        with ema.swapped_in():  # the averaged weights, where --ema wants them
            evaluation = evaluate(model, criterion, val_loader, device)
        row |= evaluation.results
        optim.end_epoch(scheduler, error=100 - row["val_top1"])  # for --schedule plateau
        run.end_epoch(row)  # metrics.jsonl, a checkpoint; ends here if a signal has come
    with ema.swapped_in():  # a run that is resumed after its last epoch has no evaluation yet
        evaluation = evaluation or evaluate(model, criterion, val_loader, device)
    run.finish(evaluation)  # curves.png, misclassified.html
    return evaluation


def train_one_epoch(
    trainer: Trainer, loader: Any, epoch: Epoch, args: argparse.Namespace
) -> dict[str, float]:
    """Train over every image once; return lr, mean loss, top-1 in per cent, speed."""
    trainer.model.train()
    batches = read_batches(loader, epoch.number, epoch.first_batch, trainer.device)
    for batch, images, labels in epoch.iterate(batches):  # position, [N, 3, S, S], [N]
        images, labels = runtime.move_batch(images, labels, trainer.device)
        # Seeded for each batch, so that a resumed run drops what an unbroken one does.
        torch.manual_seed(draws.dropout_seed(args.seed, epoch.number, batch.global_number))
        loss, logits = train_step(trainer, images, labels, args, batch.weight, batch.ends_step)
        epoch.update(loss, metric.count_correct(logits, labels, k=1))  # saves the run if due
    return epoch.metrics()


def train_step(
    trainer: Trainer,
    images: Tensor,
    labels: Tensor,
    args: argparse.Namespace,
    weight: float = 1.0,
    ends_step: bool = True,
) -> tuple[Tensor, Tensor]:
    """Train on images [N, 3, S, S] and labels [N]; return the loss [] and logits [N, C].

    With --accumulate a step takes several batches: each has its `weight` in it, and the parameters
    are updated after the one that `ends_step`.
    """
    model, network, criterion, optimizer, scheduler, scaler, ema, _ = trainer
    with distributed.gradient_sync(network, ends_step):
        with runtime.autocast(images, args):
            logits = network(images)  # [N, C]
            loss = criterion(logits, labels)
        scaler.scale(loss * weight).backward()
    if ends_step:
        if args.clip_grad:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), args.clip_grad)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scheduler.step()
        ema.update()
    return loss.detach(), logits.detach()


@torch.no_grad()
def evaluate(
    model: nn.Module, criterion: nn.Module, loader: Any, device: torch.device
) -> Evaluation:
    """Measure loss, top-1 and top-5 over every image once, whatever the batches and processes."""
    model.eval()
    meter = metric.EvaluationMeter(loader)
    batches = read_batches(loader, epoch=0, device=device)
    for images, labels in show_progress(batches, loader, "evaluating"):  # [N, 3, S, S], [N]
        images, labels = runtime.move_batch(images, labels, device)
        logits = crops.classify(model, images)  # [N, C]
        meter.update(criterion(logits, labels), logits, labels)
    return meter.evaluation()


if __name__ == "__main__":
    errors.run(main)
