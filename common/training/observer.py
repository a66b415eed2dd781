"""Observers of a training: train.py's main(argv, observer) calls one at each step."""

from collections.abc import Iterable
from typing import Any


class Observer:
    """Watches nothing and changes nothing. A run that is given one does not catch signals."""

    wants_files = True  # False: no checkpoints of epochs, curves and pages, which take long

    def start(self, trainer: Any) -> None:
        """Called once, before the first step: weights are loaded, a checkpoint is restored."""

    def batches(self, batches: Iterable[tuple], epoch: Any) -> Iterable[tuple]:
        """Return the (images, labels) to train on, from number `epoch.first_batch` on."""
        return batches

    def begin_batch(self, batch: Any, images: Any, labels: Any) -> None:
        """Called before the forward pass of each batch."""

    def end_batch(self, loss: Any) -> bool:
        """Called when the loop is done with a batch. True: save and leave as SIGTERM does."""
        return False

    def end_epoch(self, row: dict[str, float]) -> None:
        """Called after the evaluation of each epoch, before its checkpoint."""


NOBODY = Observer()
