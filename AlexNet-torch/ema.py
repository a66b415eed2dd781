"""A moving average of the weights, which often generalizes better than the last ones.

w' = decay * w' + (1 - decay) * w after every step (Polyak and Juditsky 1992).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class ModelEMA:
    """The average of a network's parameters; with decay 0 there is none, and nothing happens."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = dict(model.named_parameters()) if decay else {}
        self.weights = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are after a step."""
        for name, average in self.weights.items():
            average.mul_(self.decay).add_(self.parameters[name], alpha=1 - self.decay)

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Take up the average that a checkpoint holds."""
        for name, average in self.weights.items():
            average.copy_(weights[name])

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within, the network's parameters are the average."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, average in self.weights.items():
            kept = self.parameters[name].detach().clone()
            self.parameters[name].copy_(average)
            average.copy_(kept)
