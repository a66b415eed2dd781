"""Observers that note less than a training: its start, its batches, its loss, its rates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from portproof.backends import backend, shared
from portproof.numeric import fingerprints
from portproof.worker.recorder import ONE_IMAGE, Done, Watcher, stand_in_zeros
from portproof.worker.source import Report


class FirstModel(Watcher):
    """Keeps the network with which the loop starts, and ends the loop."""

    def start(self, state: Any) -> None:
        self.model = state.model
        raise Done


class FirstBatches(Watcher):
    """Writes the first batches that the loop reads: images-0.npy [N, 3, S, S], labels-0.npy [N]."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__()
        self.folder, self.steps = folder, steps

    def batches(self, batches: Iterator[tuple], epoch: Any) -> Iterator[tuple]:
        """Write the batches, and have the loop train on a single image of each epoch."""
        for batch in batches:
            images, labels = map(backend.to_numpy, batch)
            np.save(self.folder / f"images-{len(self.rows)}.npy", images)
            np.save(self.folder / f"labels-{len(self.rows)}.npy", labels)
            summary = fingerprints.summarize(images).tolist()
            self.close_row({"images": summary, "labels": labels.tolist()}, self.steps)
        yield [tensor[:1] for tensor in batch]


class LogitsGiven(Watcher):
    """Notes the loss that the loop's own step makes of given logits, and its gradient there.

    `files`: of each case, logits [N, C] and labels [N]. The loss is that of a whole step.
    """

    def __init__(self, files: list[str]) -> None:
        super().__init__()
        self.files = files

    def start(self, state: Any) -> None:
        original = state.model.forward

        def forward(inputs: Any) -> Any:
            return original(inputs) if self.row is None else self.logits

        state.model.forward = forward
        self.hooks.callback(delattr, state.model, "forward")

    def batches(self, batches: Any, epoch: Any) -> Iterator[tuple]:
        """Give an image of one pixel for each sample of the next case."""
        for file in self.files[len(self.rows) :][: len(epoch) - epoch.first_batch]:
            with np.load(file) as case:
                self.logits = backend.to_tensor(case["logits"]).requires_grad_()
                labels = case["labels"]
            images = np.zeros([len(labels), 3, 1, 1], np.float32)
            yield backend.to_tensor(images), backend.to_tensor(labels)

    def begin_batch(self, batch: Any, *inputs: Any) -> None:
        self.row, self.weight = {}, batch.weight

    def end_batch(self, loss: Any) -> bool:
        gradient = (backend.to_numpy(self.logits.grad) / self.weight).tolist()
        row = {"loss": self.loss_of(loss).tolist(), "gradient": gradient}
        self.close_row(row, len(self.files))
        return False


class RatesUsed(Watcher):
    """Notes the learning rate that the optimizer uses at each step, by what it does to a parameter.

    All parameters are 0, and at each step another element has a gradient, of 1: it moves by the
    rate, whatever momentum and decay are. Parameters of more than `most` elements are left out.
    What the optimizer keeps is noted: with more than a velocity it moves by more than its rate.
    """

    def __init__(self, most: int) -> None:
        super().__init__([ONE_IMAGE])
        self.most = most
        self.roles: set[str] = set()

    def start(self, state: Any) -> None:
        self.model, self.optimizer = state.model, state.optimizer
        parameters = shared.parameters(self.model)
        with backend.framework.no_grad():
            for parameter in parameters.values():
                parameter.zero_()
        self.small = {
            name: param for name, param in parameters.items() if np.prod(param.shape) <= self.most
        }
        stand_in_zeros(self, self.model, self.small)

    def gradient_of(self, name: str) -> Any:
        """Return a gradient of 1 at the element of this step, and of 0 elsewhere."""
        array = np.zeros(list(self.small[name].shape))
        array.reshape(-1)[len(self.rows) : len(self.rows) + 1] = 1.0
        return backend.to_tensor(array)

    def begin_batch(self, batch: Any, *inputs: Any) -> None:
        self.row = {"reported": backend.learning_rate(self.optimizer)}

    def end_batch(self, loss: Any) -> bool:
        step, to_numpy = len(self.rows), backend.to_numpy
        flat = {name: to_numpy(param).reshape(-1) for name, param in self.small.items()}
        self.row["used"] = {name: -float(a[step]) for name, a in flat.items() if a.size > step}
        if not self.rows:
            kept = backend.optimizer_state(self.model, self.optimizer)
            self.roles = {key.partition(" ")[2] for key in kept}
        self.close_row(self.row)
        return False

    def report(self) -> Report:
        return super().report() | {"roles": sorted(self.roles)}
