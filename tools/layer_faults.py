"""What is wrong in a run: which layer, or which place between two layers, and why."""

import itertools
from typing import Any

import numpy as np

from tools import kinds, layerwise, relations
from tools.findings import MOST, Cause, Given, at
from tools.layerwise import Row
from tools.probes import FRAMEWORKS, NAMES

ROUNDING = 1e-12  # relative, float64: no layer by itself rounds by more


class Search:
    """Walks through the paired calls of one pass; each is judged on PyTorch's own numbers."""

    def __init__(self, given: Given, one: dict[str, Any], known: list[Cause]) -> None:
        self.given = given
        self.training = one["training"]
        self.known = {where for cause in known for where in (cause.where, *cause.also)}
        self.runs = {side: given.run(side, one["name"]) for side in FRAMEWORKS}
        self.calls = {side: self.runs[side]["calls"] for side in FRAMEWORKS}
        pairs = given.pairs(one["name"])
        self.pairs = [(i, j) for i, j in pairs if i is not None and j is not None]
        # PyTorch's first layer of those that one Paddle layer does together with an activation.
        self.starts = {
            k: i
            for (i, other), (k, j) in itertools.pairwise(pairs)
            if other is None and i is not None and j in given.fused(one["name"])
        }
        self.constants: list[str] = []  # layers that differ by no more than a constant explains

    def causes(self) -> list[Cause]:
        """Return what is wrong, in the order in which the layers run."""
        found: list[Cause] = []
        before = (-1, -1)
        for i, j in self.pairs:
            gap = self._judge_gap(before, (i, j))
            found += gap or self._judge_layer(i, j)
            before = (i, j)
        ends = len(self.calls["torch"]), len(self.calls["paddle"])
        found += self._judge_gap(before, ends)
        return self._without_echoes(found)[:MOST]

    @staticmethod
    def _without_echoes(found: list[Cause]) -> list[Cause]:
        """Tell the same fault of many layers once, and not what an earlier dropout brings about."""
        kept: list[Cause] = []
        for cause in found:
            twin = next(
                (k for k in kept if k.cause == cause.cause and k.where != cause.where), None
            )
            echo = "dropout is active" in cause.cause and any("ropout" in k.cause for k in kept)
            if twin is not None:
                twin.also.append(cause.where)
            elif not echo:
                kept.append(cause)
        return kept

    def _load(self, side: str, files: list[str]) -> list[np.ndarray]:
        return [np.load(self.given.folders[side] / file) for file in files]

    def _line_of(self, side: str, place: int) -> str | None:
        calls = self.calls[side]
        return calls[place]["line"] if place < len(calls) else None

    # -- one layer --

    def _judge_layer(self, i: int, j: int) -> list[Cause]:
        torch, paddle = self.calls["torch"][i], self.calls["paddle"][j]
        own, theirs = self._load("torch", torch["outputs"]), self._load("paddle", paddle["outputs"])
        kind = kinds.canonical_kind("torch", torch["kind"])
        theirs = _shaped(kind, own, theirs)
        problem = _problem(own, theirs, layerwise.COARSE.get(kind, layerwise.CONSTANT))
        if problem is None:
            if _problem(own, theirs, ROUNDING):
                self.constants.append(f"{torch['layer']}, {torch['kind']}")
            return []
        side = self.given.changed
        path = torch["layer"] if side == "torch" else paddle["layer"]
        line = self.given.line(side, path)
        where = torch["layer"] or "the network"
        if where in self.known:
            return []  # told already: its weights are not what they should be
        what, fix = self._layer_cause(torch, paddle, own, theirs, problem)
        return [Cause(where, what, at(line, fix), line)]

    def _layer_cause(self, torch, paddle, own, theirs, problem) -> tuple[str, str]:
        kind = {
            "torch": kinds.canonical_kind("torch", torch["kind"]),
            "paddle": kinds.canonical_kind("paddle", paddle["kind"]),
        }
        side = self.given.changed
        right = "torch" if side == "paddle" else "paddle"
        if kind["torch"] != kind["paddle"]:
            what = f"{torch['kind']} in PyTorch, {paddle['kind']} in PaddlePaddle"
            return what, f"use what {NAMES[right]}'s {kind[right]} corresponds to"
        for name, call in (("torch", torch), ("paddle", paddle)):
            acts = "Norm" in kind[name] or "Dropout" in kind[name]
            if call["training"] and not self.training and acts:
                what = f"{NAMES[name]}'s {call['kind']} is left in train mode"
                return what, "call eval() on the network, and do not override it"
        pairs = differing_settings(self.given, torch["layer"], paddle["layer"])
        pairs = {name: values for name, values in pairs.items() if name != "momentum"}
        if pairs:
            words, change = [], []
            for name, (left, other) in pairs.items():
                words.append(
                    f"{_setting_name(name, kind['torch'])} {left} in PyTorch, {other} in "
                    "PaddlePaddle"
                )
                change.append(kinds.spell(side, name, left if side == "paddle" else other))
            return "; ".join(words), f"set {', '.join(change)}"
        found = _relation(own, theirs)
        if found:
            return f"on the same input PaddlePaddle's output is PyTorch's {found}", "see there"
        return f"other numbers on the same input ({problem})", "compare the two layers' code"

    # -- between two layers --

    def _judge_gap(self, before: tuple[int, int], after: tuple[int, int]) -> list[Cause]:
        last = after[0] >= len(self.calls["torch"])
        if last:
            if any(self.runs[side]["error"] for side in FRAMEWORKS):
                return self._stopped(before)
            files = {side: self.runs[side]["outputs"] for side in FRAMEWORKS}
        else:
            after = self.starts.get(after[0], after[0]), after[1]
            files = {
                side: self.calls[side][place]["inputs"]
                for side, place in zip(FRAMEWORKS, after, strict=True)
            }
        own, theirs = self._load("torch", files["torch"]), self._load("paddle", files["paddle"])
        if not last:
            kind = kinds.canonical_kind("torch", self.calls["torch"][after[0]]["kind"])
            theirs = _shaped(kind, own, theirs)
        problem = _problem(own, theirs)
        if problem is None:
            return []
        left = self.calls["torch"][before[0]]["layer"] if before[0] >= 0 else "the input"
        right = self._name(after[0])
        side = self.given.changed
        line = self._line_of(side, after[0] if side == "torch" else after[1])
        line = line or (self._line_of(side, before[side == "paddle"]) if before[0] >= 0 else None)
        cause = self._dropouts(before, after) or self._unpaired(before, after)
        if cause is not None:
            where, what, fix, own_line = cause
            line = own_line or line
            return [Cause(where or right, what, at(line, fix), line)]
        found = _relation(own, theirs)
        told = f"what comes there in PaddlePaddle is PyTorch's {found}" if found else problem
        what = f"between {left} and {right}: {told}"
        fix = f"compare what the two networks do between {left} and {right}"
        return [Cause(right, what, at(line, fix), line)]

    def _stopped(self, before: tuple[int, int]) -> list[Cause]:
        side = next(side for side in FRAMEWORKS if self.runs[side]["error"])
        place = before[FRAMEWORKS.index(side)]
        layer = self.calls[side][place]["layer"] if place >= 0 else "the input"
        text = f"{NAMES[side]} stops after {layer} with an error: {self.runs[side]['error']}"
        return [Cause(layer, text, "mend the error first")]

    def _dropouts(self, before, after) -> tuple[str, str, str, str | None] | None:
        """Compare the dropouts of a gap: those done by functions, and layers without partner."""
        found = {
            side: self._dropouts_within(side, before[n], after[n])
            for n, side in enumerate(FRAMEWORKS)
        }
        left, right = found["torch"], found["paddle"]
        place = self._name(after[0])
        own = self.calls["torch"][before[0] + 1 : after[0]]
        layer = next((call["layer"] for call in own if "Dropout" in call["kind"]), place)
        if not self.training:
            for side, dropouts in found.items():
                active = [one for one in dropouts if one["training"] and one["p"]]
                if active:
                    what = (
                        f"dropout in {NAMES[side]} before {place} acts in evaluation (train mode)"
                    )
                    fix = "give dropout training=self.training, and call eval() on the network"
                    return layer, what, fix, active[0]["line"]
        odd = [one for one in right if one["mode"] != "upscale_in_train" and one["p"]]
        if odd:
            what = (
                f"dropout before {place} has mode={odd[0]['mode']!r}: it scales by 1 - p in "
                "evaluation, where PyTorch scales by 1 / (1 - p) in training"
            )
            return layer, what, 'set mode="upscale_in_train"', odd[0]["line"]
        rates = [
            [one["p"] for one in dropouts if one["p"] and one["training"]]
            for dropouts in (left, right)
        ]
        if rates[0] == rates[1] or not self.training:
            return None
        what = (
            f"dropout before {place}: {_rates(rates[0])} in PyTorch, "
            f"{_rates(rates[1])} in PaddlePaddle"
        )
        side = self.given.changed
        wanted = rates[0] if side == "paddle" else rates[1]
        verb = "make it" if all(rates) else "add" if wanted else "remove the"
        fix = (
            f"{verb} nn.Dropout({wanted[0]:g}) before {place}"
            if wanted
            else f"remove the dropout before {place}"
        )
        line = next((one["line"] for one in (right if side == "paddle" else left)), None)
        return layer, what, fix, line

    def _dropouts_within(self, side: str, before: int, after: int) -> list[dict]:
        """Return the dropouts of a gap that no layer did, or a layer without partner."""
        return [
            one
            for one in self.runs[side]["dropouts"]
            if before < one["calls"] <= after and not (one["in_layer"] and one["calls"] == after)
        ]

    def _name(self, place: int) -> str:
        calls = self.calls["torch"]
        return calls[place]["layer"] if place < len(calls) else "the output"

    def _unpaired(self, before, after) -> tuple[str, str, str, str | None] | None:
        """Name layers that one side alone runs in a gap, where they may be what differs."""
        alone = {
            side: self.calls[side][before[n] + 1 : after[n]] for n, side in enumerate(FRAMEWORKS)
        }
        if not alone["torch"] and not alone["paddle"]:
            return None
        words = []
        for side in FRAMEWORKS:
            names = [f"{call['layer']} ({call['kind']})" for call in alone[side]]
            words.append(f"{NAMES[side]} runs {', '.join(names) or 'no layer'}")
        side = self.given.changed
        calls = alone[side] or alone["torch" if side == "paddle" else "paddle"]
        where = calls[0]["layer"]
        line = self.given.line(side, calls[0]["layer"]) if alone[side] else None
        after_what = self.calls["torch"][before[0]]["layer"] if before[0] >= 0 else "the input"
        what = f"between {after_what} and {self._name(after[0])}, {'; '.join(words)}"
        return where, what, "run the same layers on both sides", line


def unexplained(first: Row) -> Cause:
    """Return the cause to tell where each layer by itself is the same."""
    text = f"{_numbers(first)}; each layer by itself gives the same on PyTorch's numbers"
    return Cause(first.name, text, "look at what the network does outside its layers")


def _problem(
    own: list[np.ndarray], theirs: list[np.ndarray], limit: float = layerwise.CONSTANT
) -> str | None:
    """Return how two lists of arrays differ, or None."""
    if len(own) != len(theirs):
        return f"{len(own)} tensors in PyTorch, {len(theirs)} in PaddlePaddle"
    for left, right in zip(own, theirs, strict=True):
        found = layerwise.compare(left, right)
        if found.problem:
            return found.problem
        if found.relative > limit:
            return f"differs by {found.largest:.3g}, {found.relative:.3g} of the largest number"
    return None


def _shaped(kind: str, own: list[np.ndarray], theirs: list[np.ndarray]) -> list[np.ndarray]:
    """Give what goes through a layer without axes the shape that it has in PyTorch.

    Whether a network flattens before an activation or a dropout, or after it, is no matter.
    """
    if kind not in layerwise.PLAIN or len(own) != len(theirs):
        return theirs
    return [
        right.reshape(left.shape) if left.size == right.size else right
        for left, right in zip(own, theirs, strict=True)
    ]


def _relation(own: list[np.ndarray], theirs: list[np.ndarray]) -> str | None:
    for left, right in zip(own, theirs, strict=False):
        if left.dtype.kind == right.dtype.kind == "f" and _problem([left], [right]):
            return relations.explain(left.astype(np.float64), right.astype(np.float64))
    return None


def _numbers(row: Row) -> str:
    found = row.float64
    if found is None or found.problem:
        return found.problem if found else "not run"
    if found.relative <= row.tolerance:
        found = row.float32
        return f"the same in float64, but {found.relative:.3g} apart in float32: a coarser format"
    return f"differs by {found.largest:.3g}, {found.relative:.3g} of the largest number"


def _rates(rates: list[float]) -> str:
    return ", ".join(f"p={rate:g}" for rate in rates) or "none"


def _setting_name(name: str, kind: str) -> str:
    if name == "eps":
        return "epsilon (eps)"
    if name == "count_include_pad":
        return "count_include_pad (not exclusive)"
    if name == "mode" and "Dropout" in kind:
        return "dropout mode"
    return name


def differing_settings(given: Given, torch: str, paddle: str) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two layers differ, torch's first."""
    layers = given.networks["torch"].layers, given.networks["paddle"].layers
    if torch not in layers[0] or paddle not in layers[1]:
        return {}
    left, right = layers[0][torch][1], layers[1][paddle][1]
    return {
        name: (left.get(name), right.get(name))
        for name in left | right
        if left.get(name) != right.get(name)
    }


def silent_settings(given: Given, causes: list[Cause]) -> list[str]:
    """Name settings that differ without showing in a forward pass, such as BatchNorm's momentum."""
    told = {cause.where for cause in causes}
    notes = []
    for torch, paddle in given.match.layers.items():
        if torch in told:
            continue
        for name, (left, right) in differing_settings(given, torch, paddle).items():
            if name == "momentum":
                text = f"{torch}: momentum (the share of the new value) {left:g} in PyTorch, "
                notes.append(text + f"{right:g} in PaddlePaddle; it shows in training alone")
    return notes[:MOST]
