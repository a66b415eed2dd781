"""Two networks that are compared: described by their workers, paired, and what they gave."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from portproof.networks.matching import Match, Network, Networks
from portproof.networks.pairing import Pairs, pair_calls, pair_fused
from portproof.system.frameworks import FRAMEWORKS
from portproof.worker.client import Sides, ask_both


@dataclass(frozen=True)
class Comparison:
    """Two sides, their networks, the pairs, the weights of each, and what was recorded of both."""

    sides: Sides
    networks: Networks
    match: Match
    held: dict[str, dict[str, np.ndarray]]  # weights by side, its names, torch's layout, float32
    by_port: bool = True  # ports load them as they do; else by their names, what fits
    seed: int = 0  # of what dropout drops
    reports: dict[str, dict] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)

    def run(self, side: str, name: str) -> dict:
        """Return the record of one pass."""
        return next(run for run in self.reports[side]["runs"] if run["name"] == name)

    def pairs(self, name: str) -> Pairs:
        """Return the calls of one pass that are partners."""
        torch, paddle = (self.run(side, name)["calls"] for side in FRAMEWORKS)
        return pair_fused(pair_calls(torch, paddle, self.match), torch, self.fused(name))

    def fused(self, name: str) -> dict[int, str]:
        """Return the calls of Paddle layers that apply an activation too, with its name."""
        layers = self.networks["paddle"].layers
        calls = self.run("paddle", name)["calls"]
        settings = (layers.get(call["layer"], ("", {}))[1] for call in calls)
        return {n: layer["act"] for n, layer in enumerate(settings) if layer.get("act")}

    def lines(self, side: str) -> dict[str, str | None]:
        """Return by the path of a layer where it is made, as FILE:LINE."""
        return self.reports[side].get("lines", {})


def describe(sides: Sides, folder: Path, input_shape: list[int], dtype: str) -> Networks:
    """Return both networks: keys, layers, order. Raises UserError where one cannot be made."""
    request = {"describe": {"input_shape": input_shape, "dtype": dtype}}
    reports = ask_both([sides[side] for side in FRAMEWORKS], folder, [request] * 2)
    both = zip(FRAMEWORKS, reports, strict=True)
    return {side: Network.from_report(side, report["describe"]) for side, report in both}
