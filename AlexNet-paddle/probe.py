"""Run parts of this tree on given inputs and write down what happened, for tools that compare.

    python AlexNet-paddle/probe.py REQUEST.json OUT_DIR

REQUEST holds `arguments`, a list of options of train.py, and for each part to record its settings:

    weights   {}                     the model's random weights, in torch's layout
    stream    {epochs, splits}       batches as the loaders give them: images, labels, sizes
    schedule  {steps_per_epoch}      the learning rate that the optimizer uses at each step
    metric    {logits, labels}       counts of correct samples for k = 1 and 5
    steps     {steps}                loss and learning rate of the first steps of the training

Each part becomes OUT_DIR/<part>.npz.
"""

import json
import sys
from pathlib import Path

from common import processor

with processor.paddle_settings():  # they count only if they stand before the first import
    import paddle

import numpy as np
from paddle import nn

import checkpoint
import metric
import optim
import train
from common import draws, errors
from common.args import parse
from datasets.folder import read_batches
from models import AlexNet


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    out_dir = Path(sys.argv[2])
    args = parse("paddle", request["arguments"])
    device = train.choose_device(args.device)
    for part, record in RECORDERS.items():
        if part in request:
            arrays = record(args, device, **request[part])
            np.savez(out_dir / f"{part}.npz", **arrays)


def make_model(args, device, num_classes: int) -> AlexNet:
    paddle.seed(draws.weights_seed(args.seed))
    model = AlexNet(num_classes=num_classes, dropout=args.dropout)
    if args.weights:
        checkpoint.load_weights(args.weights, model)
    return model


def record_weights(args, device, num_classes: int = 1000) -> dict[str, np.ndarray]:
    model = make_model(args, device, num_classes)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    for name in checkpoint.linear_weights(model):
        weights[name] = weights[name].T  # Paddle's [in, out] -> torch's [out, in]
    return weights


def record_stream(args, device, epochs: int, splits: list[str]) -> dict[str, np.ndarray]:
    arrays = {}
    loaders = dict(zip(("train", "val"), train.load_data(args)[:2], strict=True))
    for split in splits:
        images, labels, sizes = [], [], []
        for epoch in range(epochs):
            for batch_images, batch_labels in read_batches(loaders[split], epoch):
                images.append(batch_images.numpy())
                labels.append(batch_labels.numpy())
                sizes.append(len(batch_labels))
        arrays[f"{split}_images"] = np.concatenate(images)
        arrays[f"{split}_labels"] = np.concatenate(labels)
        arrays[f"{split}_sizes"] = np.array(sizes)
    return arrays


def record_schedule(args, device, steps_per_epoch: int) -> dict[str, np.ndarray]:
    optimizer, scheduler = optim.build(nn.Linear(2, 2), args, steps_per_epoch)
    rates = []
    for _ in range(args.epochs * steps_per_epoch):
        rates.append(optim.current_lr(optimizer))
        optimizer.step()
        scheduler.step()
    return {"lr": np.array(rates)}


def record_metric(args, device, logits: list, labels: list) -> dict[str, np.ndarray]:
    logits, labels = paddle.to_tensor(logits), paddle.to_tensor(labels)
    return {f"top{k}": metric.count_correct(logits, labels, k).numpy() for k in (1, 5)}


def record_steps(args, device, steps: int) -> dict[str, np.ndarray]:
    train_loader, _, classes = train.load_data(args)
    model = make_model(args, device, len(classes))
    criterion = nn.CrossEntropyLoss()
    optimizer, scheduler = optim.build(model, args, len(train_loader))
    model.train()
    losses, rates = [], []
    epoch = 0
    while len(losses) < steps:
        for images, labels in read_batches(train_loader, epoch):
            rates.append(optim.current_lr(optimizer))
            loss, _ = train.train_step(model, criterion, optimizer, scheduler, images, labels)
            losses.append(loss.item())
            if len(losses) == steps:
                break
        epoch += 1
    return {"loss": np.array(losses), "lr": np.array(rates)}


RECORDERS = {
    "weights": record_weights,
    "stream": record_stream,
    "schedule": record_schedule,
    "metric": record_metric,
    "steps": record_steps,
}


if __name__ == "__main__":
    errors.run(main)
