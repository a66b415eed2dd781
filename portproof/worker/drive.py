"""The loop of a port that has none of its own: it tells an observer what a port's train() would."""

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from portproof.backends import backend, shared
from portproof.port import Batch, Settings
from portproof.worker import forward
from portproof.worker.port_file import PortFile
from portproof.worker.recorder import minimized

CHECKPOINT, PLACE = "checkpoint", "place.json"  # what a stopped run leaves: the port's file, ours
INPUTS = ("images", "labels")  # of a batch


class Epoch(NamedTuple):
    """An epoch of so many batches, from its first."""

    number: int
    length: int
    first_batch: int = 0

    def __len__(self) -> int:
        return self.length


def drive(port: PortFile, observer: Any, settings: Settings) -> None:
    """Train by the port's parts, as many epochs as the settings say, else one.

    With settings["resume"], a folder, from where the run that was stopped there stood. A run that
    the observer stops is saved in settings["output_dir"] and raises SystemExit.
    """
    settings = {"epochs": 1} | port.usual() | settings
    backend.seed(settings.get("seed", 0))
    model = port.model(settings)
    if settings.get("weights"):
        load_weights(port, model, settings["weights"])
    steps = settings["steps_per_epoch"]  # of the batches that are given
    optimizers = port.optimizer(model, steps, settings)
    first_epoch, first_batch = 0, 0
    if settings.get("resume"):
        folder = Path(settings["resume"])
        port.restore(model, optimizers, str(folder / CHECKPOINT))
        first_epoch, first_batch = json.loads((folder / PLACE).read_text())
    alone = [optimizer for optimizer, *_ in with_schedules(optimizers)]
    watched = alone if isinstance(optimizers, list) else alone[0]
    observer.start(SimpleNamespace(model=model, optimizer=watched))
    for number in range(first_epoch, settings["epochs"]):
        epoch = Epoch(number, steps, first_batch if number == first_epoch else 0)
        model.train()
        for index, batch in enumerate(read(port, observer, epoch, settings), epoch.first_batch):
            position = SimpleNamespace(number=index, weight=1.0, first_sample=0)  # the only process
            observer.begin_batch(position, *batch.values())
            floats = {name: shared.to_default(tensor) for name, tensor in batch.items()}
            if observer.end_batch(take_step(port, model, optimizers, floats)):
                folder = Path(settings["output_dir"])
                folder.mkdir(parents=True)
                port.save(model, optimizers, str(folder / CHECKPOINT))
                (folder / PLACE).write_text(json.dumps([number, index + 1]))
                raise SystemExit
        if port.has("end_epoch"):
            port.end_epoch(optimizers, {})
        observer.end_epoch({})


def take_step(port: PortFile, model: Any, optimizers: Any, batch: Batch) -> Any:
    """Take a step as the port does, or one of its model, loss and optimizer; return the loss."""
    if port.has("train_step"):
        return port.train_step(model, optimizers, batch)
    for optimizer, *_ in with_schedules(optimizers):
        backend.clear_gradients(optimizer)
    total = minimized(port.loss(run_model(port, model, batch), batch))
    total.backward()
    for each in chain.from_iterable(with_schedules(optimizers)):
        each.step()
    return total.detach()


def with_schedules(optimizers: Any) -> list[tuple]:
    """Return what a port's optimizer() returned as a list of tuples: optimizer, schedule if any."""
    several = optimizers if isinstance(optimizers, list) else [optimizers]
    pairs = [each if isinstance(each, tuple) else (each,) for each in several]
    return [tuple(each for each in pair if each is not None) for pair in pairs]


def run_model(port: PortFile, model: Any, batch: Batch) -> Any:
    """Return what a network gives for a batch of tensors: as the port calls it, if it says so."""
    return port.forward(model, batch) if port.has("forward") else model(next(iter(batch.values())))


def load_weights(port: PortFile, model: Any, path: str) -> None:
    """Load weights in torch's layout as the port does, or by their names."""
    if port.has("load_weights"):
        port.load_weights(model, path)
    else:
        turned = shared.transposed(model)
        forward.load_by_name(model, Path(path), turned)


def read(port: PortFile, observer: Any, epoch: Epoch, settings: Settings) -> Iterator[Batch]:
    """Yield the batches of an epoch, the port's or those that the observer gives, by name."""
    batches = port.batches("train", epoch.number, settings) if port.has("batches") else ()
    rest = (tuple(batch.values()) for batch in islice(batches, epoch.first_batch, None))
    for entries in observer.batches(rest, epoch):
        yield dict(zip(INPUTS, entries, strict=False))
