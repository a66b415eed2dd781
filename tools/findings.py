"""A difference explained, and what there is to explain it by."""

import linecache
from dataclasses import dataclass, field
from pathlib import Path

from tools.layerwise import pair_calls, pair_fused
from tools.matching import Match, Network
from tools.probes import FRAMEWORKS, Side, to_mend

MOST = 6  # causes that are told one by one


@dataclass(frozen=True)
class Cause:
    """A difference explained: `where` (a layer or a key), what is wrong there, what to change."""

    where: str
    cause: str
    fix: str
    line: str | None = None  # FILE:LINE
    also: list[str] = field(default_factory=list)  # other layers with the same fault


@dataclass(frozen=True)
class Given:
    """What there is to judge by: two sides, their networks, the pairs, and what was recorded."""

    sides: dict[str, Side]
    networks: dict[str, Network]
    match: Match
    reports: dict[str, dict] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)

    def run(self, side: str, name: str) -> dict:
        """Return the record of one pass."""
        return next(run for run in self.reports[side]["runs"] if run["name"] == name)

    def pairs(self, name: str) -> list[tuple[int | None, int | None]]:
        """Return the calls of one pass that are partners."""
        torch, paddle = (self.run(side, name)["calls"] for side in FRAMEWORKS)
        return pair_fused(pair_calls(torch, paddle, self.match), torch, self.fused(name))

    def fused(self, name: str) -> dict[int, str]:
        """Return the calls of Paddle layers that apply an activation too, with its name."""
        layers = self.networks["paddle"].layers
        calls = self.run("paddle", name)["calls"]
        settings = [layers.get(call["layer"], ("", {}))[1] for call in calls]
        return {n: own["act"] for n, own in enumerate(settings) if own.get("act")}

    def line(self, side: str, path: str) -> str | None:
        """Return where a layer is made, as FILE:LINE."""
        return self.reports[side].get("lines", {}).get(path)

    @property
    def changed(self) -> str:
        """The side to mend: the one that was named as a changed copy, or Paddle."""
        return to_mend(self.sides)


def at(line: str | None, fix: str, word: str = "in") -> str:
    """Return the fix with the line it is for, and the code there."""
    if line is None:
        return fix
    file, _, number = line.rpartition(":")
    code = linecache.getline(file, int(number)).strip()
    return f"{shorten(line)}: {fix}" + (f" {word} `{code}`" if code else "")


def shorten(line: str) -> str:
    """Return FILE:LINE with the file's path from the current folder, or from its package."""
    path = Path(line)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    if "site-packages" in path.parts:
        return str(Path(*path.parts[path.parts.index("site-packages") + 1 :]))
    return line
