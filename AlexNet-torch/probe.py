"""Run parts of this tree on given inputs and write down what happened, for tools that compare.

    python AlexNet-torch/probe.py REQUEST.json OUT_DIR

REQUEST holds `arguments`, a list of options of train.py, and for each part to record its settings:

    weights   {}                     the model's random weights, in torch's layout
    stream    {epochs, splits}       batches as the loaders give them: images, labels, sizes
    schedule  {steps_per_epoch}      the learning rate that the optimizer uses at each step
    metric    {logits, labels}       counts of correct samples for k = 1 and 5
    steps     {steps}                loss and learning rate of the first steps of the training

Each of these becomes OUT_DIR/<part>.npz. The following work on this tree's network or, where
REQUEST holds `model` (`name`, MODULE:CALLABLE, and `arguments`), on any other; each becomes
OUT_DIR/<part>.json:

    describe  {input_shape, dtype}   the keys, the layers, the order in which they run
    read      {path}                 a weights file of this framework, written as read.safetensors
    write     {source, path}         a .safetensors, written as this framework's, and read back
    forward   {weights, inputs, dtypes, inputs_of}
                                     what each layer gives, in evaluation mode
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import checkpoint
import layers
import metric
import optim
import train
from common import draws, errors, state
from common.args import parse
from datasets.folder import read_batches
from models import AlexNet


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    out_dir = Path(sys.argv[2])
    args = parse("torch", request["arguments"])
    device = train.choose_device(args.device)
    for part, record in RECORDERS.items():
        if part in request:
            arrays = record(args, device, **request[part])
            np.savez(out_dir / f"{part}.npz", **arrays)
    for part, report in REPORTERS.items():
        if part in request:
            found = report(args, device, out_dir, request.get("model"), **request[part])
            (out_dir / f"{part}.json").write_text(json.dumps(found, default=str))


def make_model(args, device, num_classes: int) -> AlexNet:
    torch.manual_seed(draws.weights_seed(args.seed))
    model = AlexNet(num_classes=num_classes, dropout=args.dropout).to(device)
    if args.weights:
        checkpoint.load_weights(args.weights, model)
    return model


def record_weights(args, device, num_classes: int = 1000) -> dict[str, np.ndarray]:
    return checkpoint.neutral_weights(make_model(args, device, num_classes))


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
    logits, labels = torch.tensor(logits), torch.tensor(labels)
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
            images, labels = images.to(device), labels.to(device)
            rates.append(optim.current_lr(optimizer))
            loss, _ = train.train_step(model, criterion, optimizer, scheduler, images, labels)
            losses.append(loss.item())
            if len(losses) == steps:
                break
        epoch += 1
    return {"loss": np.array(losses), "lr": np.array(rates)}


def make_any(args, device, model: dict | None) -> nn.Module:
    if model is None:
        return make_model(args, device, num_classes=1000)
    if "name" not in model:
        return make_model(args, device, **model["arguments"])
    return layers.make(model["name"], model["arguments"]).to(device)


def report_describe(args, device, out_dir, model, input_shape=None, dtype="float32") -> dict:
    network = make_any(args, device, model)
    found = layers.describe(network)
    if input_shape:
        network.eval()
        inputs = torch.zeros(input_shape, dtype=getattr(torch, dtype), device=device)
        run = layers.record(network, inputs, folder=None, inputs_of=[])
        found |= {"order": [call["layer"] for call in run["calls"]], "error": run["error"]}
    return found


def report_read(args, device, out_dir, model, path: str) -> dict:
    weights = checkpoint.read_weights(Path(path))
    checkpoint.write_neutral(out_dir / "read.safetensors", weights)
    return {}


def report_write(args, device, out_dir, model, source: str, path: str) -> dict:
    checkpoint.write_weights(Path(path), Path(source))
    return report_read(args, device, out_dir, model, path)


def report_forward(
    args, device, out_dir, model, weights: str, inputs: list[str], dtypes: list[str], inputs_of=()
) -> dict:
    network = make_any(args, device, model)
    checkpoint.load_weights(Path(weights), network)
    loaded = state.digests(checkpoint.neutral_weights(network))
    network.eval()
    runs = []
    for dtype in dtypes:
        network.to(getattr(torch, dtype))
        for number, file in enumerate(inputs):
            x = read_inputs(file, dtype, device)
            folder = out_dir / f"{dtype}-{number}"
            run = layers.record(network, x, folder, list(inputs_of))
            runs.append({"dtype": dtype, "input": number, **run})
    return {"loaded": loaded, "runs": runs, **layers.describe(network)}


def read_inputs(file: str, dtype: str, device) -> torch.Tensor:
    array = np.load(file)
    if array.dtype.kind == "f":  # whole numbers, such as words, stay what they are
        array = array.astype(dtype)
    return torch.from_numpy(array).to(device)


RECORDERS = {
    "weights": record_weights,
    "stream": record_stream,
    "schedule": record_schedule,
    "metric": record_metric,
    "steps": record_steps,
}
REPORTERS = {
    "describe": report_describe,
    "read": report_read,
    "write": report_write,
    "forward": report_forward,
}


if __name__ == "__main__":
    errors.run(main)
