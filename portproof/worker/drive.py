"""The loop of a port that has none of its own: it tells an observer what a port's train() would."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from portproof.weights import tensors
from portproof.worker import forward
from portproof.worker.port_file import PortFile


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
    """Train by the port's parts, as many epochs as the settings say, else one."""
    settings = {"epochs": 1} | port.usual() | settings
    backend.seed(settings.get("seed", 0))
    model = port.model(settings)
    if settings.get("weights"):
        load_weights(port, backend, model, settings["weights"])
    steps_per_epoch = settings["steps_per_epoch"]  # of the batches that are given
    optimizers = port.optimizer(model, steps_per_epoch, settings)
    firsts = [first(each) for each in as_list(optimizers)]
    several = isinstance(optimizers, list)
    observer.start(SimpleNamespace(model=model, optimizer=firsts if several else firsts[0]))
    for number in range(settings["epochs"]):
        epoch = Epoch(number, steps_per_epoch)
        model.train()
        for place, batch in enumerate(read(port, observer, epoch, settings)):
            observer.begin_batch(Batch(place), *batch.values())
            floats = {name: as_default(backend, value) for name, value in batch.items()}
            observer.end_batch(take_step(port, backend, model, optimizers, floats))
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
    losses = port.loss(outputs, batch)
    total = next(iter(losses.values())) if isinstance(losses, dict) else losses
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
    for values in observer.batches((tuple(batch.values()) for batch in own), epoch):
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
