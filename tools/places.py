"""Where two runs of training first differ."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """The first difference between two runs."""

    step: int
    what: str  # data, mode, weights, forward, loss, gradient, lr, state, update, running
    name: str  # a parameter, or empty
    relative: float
    told: str = ""
    others: tuple[str, ...] = ()  # all parameters in which this differs, `name` among them
