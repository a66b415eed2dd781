"""A loss that is NaN or infinite ends a run, with the step and the images that it came from."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from portproof.system.errors import RunError

SHOWN = 3  # files in the message; all are in a file of the run folder


@dataclass
class NonFiniteGuard:
    """The losses since they were last looked at: each look waits for the device."""

    loader: Any
    epoch: int
    checkpoints: Any
    losses: list[tuple[int, Any]] = field(default_factory=list)  # number of the batch, tensor []
    last: int = 0  # number of the last batch

    def note(self, number: int, loss: Any) -> None:
        """Keep the loss of a batch, unseen."""
        self.losses.append((number, loss))
        self.last = number

    def check(self, weights: Iterable[Any] = ()) -> None:
        """Raise RunError at the first loss, or where one of the `weights`, is not finite.

        A finite loss can have gradients that are not: the weights are looked at before each saving.
        """
        losses, self.losses = self.losses, []
        for number, loss in losses:
            if not math.isfinite(float(loss)):
                self._fail(number, f"the loss is {float(loss)}")
        if not all(math.isfinite(float(weight.detach().sum())) for weight in weights):
            self._fail(self.last, "the loss is finite, but the weights are not after the step")

    def _fail(self, number: int, what: str) -> None:
        paths = self.loader.dataset.index.paths
        files = [paths[index] for index in self.loader.batch_sampler.samples(number)]
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        run = self.checkpoints.run
        if run.writes:  # the others of several processes know no folder
            listing = run.path / "not_finite.txt"
            listing.write_text("".join(f"{file}\n" for file in files), errors="backslashreplace")
            more += f", all in {listing}; last checkpoint: {self.checkpoints.last()}"
        raise RunError(
            f"{what} at epoch {self.epoch + 1}, batch {number + 1}, of "
            f"{', '.join(files[:SHOWN])}{more}; start anew with a lower --lr, a longer "
            "--warmup-epochs or --clip-grad, from that checkpoint's weights by --weights"
        )
