"""The loop of a port that has none of its own: it tells an observer what a port's train() would."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from portproof.weights import tensors
from portproof.worker import forward
from portproof.worker.port_file import PortFile
from portproof.worker.recorder import minimized

CHECKPOINT, PLACE = "checkpoint", "place.json"  # what a stopped run leaves: the port's file, ours


class Batch(NamedTuple):
    """The place of a batch in its epoch; one process, one batch a step."""

    number: int
    weight: float = 1.0
    first_sample: int = 0


class Epoch(NamedTuple):
    """An epoch of so many batches, from its first."""

    number: int
    length: int
    first_batch: int = 0

    def __len__(self) -> int:
        return self.length


def drive(port: PortFile, backend: ModuleType, observer: Any, settings: dict[str, Any]) -> None:
    """Train by the port's parts, as many epochs as the settings say, else one.

    With settings["resume"], a folder, from where the run that was stopped there stood. A run that
    the observer stops is saved in settings["output_dir"] and raises SystemExit.
    """
    settings = {"epochs": 1} | port.usual() | settings
    backend.seed(settings.get("seed", 0))
    model = port.model(settings)
    if settings.get("weights"):
        load_weights(port, backend, model, settings["weights"])
    steps_per_epoch = settings["steps_per_epoch"]  # of the batches that are given
    optimizers = port.optimizer(model, steps_per_epoch, settings)
    first_epoch, first_batch = 0, 0
    if settings.get("resume"):
        folder = Path(settings["resume"])
        port.restore(model, optimizers, str(folder / CHECKPOINT))
        first_epoch, first_batch = json.loads((folder / PLACE).read_text())
    firsts = [first(each) for each in as_list(optimizers)]
    several = isinstance(optimizers, list)
    observer.start(SimpleNamespace(model=model, optimizer=firsts if several else firsts[0]))
    for number in range(first_epoch, settings["epochs"]):
        epoch = Epoch(number, steps_per_epoch, first_batch if number == first_epoch else 0)
        model.train()
        for place, batch in enumerate(read(port, observer, epoch, settings), epoch.first_batch):
            observer.begin_batch(Batch(place), *batch.values())
            floats = {name: as_default(backend, value) for name, value in batch.items()}
            if observer.end_batch(take_step(port, backend, model, optimizers, floats)):
                folder = Path(settings["output_dir"])
                folder.mkdir(parents=True)
                port.save(model, optimizers, str(folder / CHECKPOINT))
                (folder / PLACE).write_text(json.dumps([number, place + 1]))
                raise SystemExit
        if port.has("end_epoch"):
            port.end_epoch(optimizers, {})
        observer.end_epoch({})


def take_step(
    port: PortFile, backend: ModuleType, model: Any, optimizers: Any, batch: dict[str, Any]
) -> Any:
    """Take a step as the port does, or one of its model, loss and optimizer; return the loss."""
    if port.has("train_step"):
        return port.train_step(model, optimizers, batch)
    pairs = [each if isinstance(each, tuple) else (each,) for each in as_list(optimizers)]
    for optimizer, *_ in pairs:
        backend.clear_gradients(optimizer)
    own = port.has("forward")
    outputs = port.forward(model, batch) if own else model(next(iter(batch.values())))
    total = minimized(port.loss(outputs, batch))
    total.backward()
    for optimizer, *schedules in pairs:
        optimizer.step()
        for schedule in filter(None, schedules):
            schedule.step()
    return total.detach()


def load_weights(port: PortFile, backend: ModuleType, model: Any, path: str) -> None:
    """Load weights in torch's layout as the port does, or by their names."""
    if port.has("load_weights"):
        port.load_weights(model, path)
        return
    turned = backend.transposed(model)
    weights = {
        name: value.array.T if name in turned else value.array
        for name, value in tensors.read_own(Path(path)).items()
    }
    forward.load_by_name(backend, model, weights)


def read(port: PortFile, observer: Any, epoch: Epoch, settings: dict) -> Iterator[dict[str, Any]]:
    """Yield the batches of an epoch, the port's or those that the observer gives, by name."""
    names = port.value("INPUTS", ("images", "labels"))
    own = port.batches("train", epoch.number, settings) if port.has("batches") else ()
    rest = (tuple(batch.values()) for batch in islice(own, epoch.first_batch, None))
    for values in observer.batches(rest, epoch):
        yield dict(zip(names, values, strict=False))


def as_default(backend: ModuleType, tensor: Any) -> Any:
    """Return a tensor with its floating-point numbers in the dtype in which networks are made."""
    return backend.to_default(tensor) if backend.is_floating(tensor) else tensor


def first(optimizer: Any) -> Any:
    """Return an optimizer, from a tuple with its schedule too."""
    return optimizer[0] if isinstance(optimizer, tuple) else optimizer


def as_list(value: Any) -> list:
    """Return several optimizers as they are, a single one as a list of one."""
    return value if isinstance(value, list) else [value]
