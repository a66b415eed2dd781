"""A small port by parts, with all functions that such a port can have, of either framework."""

from collections.abc import Callable
from pathlib import Path

PORT = """
import {framework}
import numpy as np
from {framework} import nn

SETTINGS = {{"lr": 0.01, "classes": 5}}


def model(settings):
    convolution, pool = nn.Conv2{d}(3, 4, 3, padding=1), nn.AdaptiveAvgPool2{d}(2)
    last = nn.Linear(16, settings.get("classes", 5))
    network = nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), last)
    for value in network.parameters():
        {draw}
    return network


def loss(outputs, batch):
    total = nn.functional.cross_entropy(outputs, batch["labels"])
    return {{"total": total, "half": total / 2}}


def optimizer(model, steps_per_epoch, settings):
    return {optimizer}


def save(model, optimizer, path):
    {framework}.save([model.state_dict(), optimizer.state_dict()], path)


def restore(model, optimizer, path):
    weights, state = {framework}.load(path)
    model.{load}(weights)
    optimizer.{load}(state)


def metric(outputs, batch):
    return {{"top1": 100 * float((outputs.argmax(1) == batch["labels"]).{mean})}}


def batches(split, epoch, settings):
    draws = np.random.default_rng([settings["seed"], epoch])
    for size in (4, 4, 2):
        yield {{"x": draws.random([size, 3, 8, 8], np.float32), "y": draws.integers(0, 5, size)}}


def export(model, folder, settings):
    def write():
        {framework}.save(model.state_dict(), folder + "/weights")
        again = globals()["model"]({{}})
        again.{load}({framework}.load(folder + "/weights"))
        return lambda images: again({framework}.{tensor}(images)).detach().numpy()

    return {{"weights": write}}
"""
SGD = "torch.optim.SGD(model.parameters(), lr=settings['lr'], momentum=0.9)"
MOMENTUM = "paddle.optimizer.Momentum(settings['lr'], 0.9, parameters=model.parameters())"
TORCH = {"framework": "torch", "d": "d", "optimizer": SGD, "load": "load_state_dict"}
TORCH |= {"draw": "nn.init.uniform_(value, -0.3, 0.3)"}
TORCH |= {"mean": "double().mean()", "tensor": "from_numpy"}
PADDLE = {"framework": "paddle", "d": "D", "optimizer": MOMENTUM, "load": "set_state_dict"}
PADDLE |= {"draw": "nn.initializer.Uniform(-0.3, 0.3)(value)"}
PADDLE |= {"mean": "astype('float64').mean()", "tensor": "to_tensor"}


def write(folder: Path, edit: Callable[[str], str] = lambda text: text) -> list[str]:
    """Write both port files, edited; return the options that name them."""
    options = []
    for names in (TORCH, PADDLE):
        file = folder / f"my-{names['framework']}" / "port.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(edit(PORT.format(**names)))
        options.append(f"--{names['framework']}-port={file}")
    return options
