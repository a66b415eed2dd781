"""A loss that is NaN or infinite ends a run, with the step and the pictures that it came from."""

import math
from typing import Any

from common.errors import RunError

SHOWN = 3  # files in the message; all are in a file of the run folder


class Recent:
    """The losses since they were last looked at: each look waits for the device."""

    def __init__(self, loader: Any, epoch: int, keeper: Any) -> None:
        self.loader = loader
        self.epoch = epoch
        self.keeper = keeper
        self.losses: list[tuple[int, Any]] = []  # number of the batch, scalar tensor

    def note(self, number: int, loss: Any) -> None:
        """Keep the loss of a batch, unseen."""
        self.losses.append((number, loss))

    def check(self) -> None:
        """Look at the losses. Raises RunError at the first one that is not finite."""
        losses, self.losses = self.losses, []
        for number, loss in losses:
            value = float(loss)
            if not math.isfinite(value):
                self._fail(number, value)

    def _fail(self, number: int, value: float) -> None:
        paths = self.loader.dataset.index.paths
        files = [paths[index] for index in self.loader.batch_sampler.samples(number)]
        told = self.keeper.run.path / "not_finite.txt"
        told.write_text("".join(f"{file}\n" for file in files), errors="backslashreplace")
        more = f" and {len(files) - SHOWN} more, all in {told}" if len(files) > SHOWN else ""
        raise RunError(
            f"the loss is {value} at epoch {self.epoch + 1}, batch {number + 1}, of "
            f"{', '.join(files[:SHOWN])}{more}; last checkpoint: {self.keeper.last()}; go on from "
            "it with a lower --lr, a longer --warmup-epochs or --clip-grad in a new run (--weights)"
        )
