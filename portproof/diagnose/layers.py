"""What is wrong in a run: which layer, or which place between two layers, and why."""

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np

from portproof.core import tensor_compare
from portproof.core.comparison import Comparison
from portproof.core.findings import MOST, Cause, at
from portproof.core.tensor_compare import Row
from portproof.diagnose import relations, settings
from portproof.networks import functional, layer_types
from portproof.system.frameworks import FRAMEWORKS, NAMES

ROUNDING = 1e-12  # relative, float64: no layer by itself rounds by more


class Search:
    """Walks through the paired calls of one pass; each is judged on PyTorch's own numbers."""

    def __init__(
        self, comparison: Comparison, one_pass: dict[str, Any], known: list[Cause]
    ) -> None:
        name = one_pass["name"]
        self.comparison = comparison
        self.weights = comparison.held["torch"]
        self.training = one_pass["training"]
        self.known = {where for cause in known for where in (cause.where, *cause.also)}
        self.runs = {side: comparison.run(side, name) for side in FRAMEWORKS}
        self.calls = {side: self.runs[side]["calls"] for side in FRAMEWORKS}
        pairs = comparison.pairs(name)
        self.pairs = [(i, j) for i, j in pairs if i is not None and j is not None]
        # PyTorch's first layer of those that one Paddle layer does together with an activation.
        self.starts = {
            k: i
            for (i, other), (k, j) in itertools.pairwise(pairs)
            if other is None and i is not None and j in comparison.fused(name)
        }
        self.constants: list[str] = []  # layers that differ by no more than a constant explains

    def causes(self) -> list[Cause]:
        """Return what is wrong, in the order in which the layers run."""
        found: list[Cause] = []
        before = (-1, -1)
        for i, j in self.pairs:
            gap = self._judge_gap(before, (i, j))
            found += self._judge_layer(i, j) if gap is None else gap
            before = (i, j)
        ends = len(self.calls["torch"]), len(self.calls["paddle"])
        found += self._judge_gap(before, ends) or []
        return self._without_echoes(found)[:MOST]

    @staticmethod
    def _without_echoes(found: list[Cause]) -> list[Cause]:
        """Tell the same fault of many layers once, and not what an earlier dropout brings about."""
        kept: list[Cause] = []
        for cause in found:
            twin = next((k for k in kept if _is_same_fault(k, cause)), None)
            echo = "dropout is active" in cause.cause and any("ropout" in k.cause for k in kept)
            if twin is not None:
                twin.also.append(cause.where)
            elif kept and _is_moved_dropout(kept[-1], cause):
                kept[-1] = replace(
                    kept[-1],
                    cause=f"{kept[-1].cause}; {cause.cause}: in another place",
                    fix=f"{kept[-1].fix}; {cause.fix}",
                    also=[cause.where],
                )
            elif not echo:
                kept.append(cause)
        return kept

    def _load(self, side: str, files: list[str]) -> list[np.ndarray]:
        return [np.load(self.comparison.folders[side] / file) for file in files]

    def _name(self, place: int, side: str = "torch") -> str:
        """Return what stands at a place in the calls of a side: a layer, or an end."""
        if place < 0:
            return "the input"
        calls = self.calls[side]
        return calls[place]["layer"] if place < len(calls) else "the output"

    def _line_of(self, side: str, place: int) -> str | None:
        calls = self.calls[side]
        return calls[place]["line"] if 0 <= place < len(calls) else None

    # -- one layer --

    def _judge_layer(self, i: int, j: int) -> list[Cause]:
        torch, paddle = self.calls["torch"][i], self.calls["paddle"][j]
        own, theirs = self._load("torch", torch["outputs"]), self._load("paddle", paddle["outputs"])
        kind = layer_types.canonical_kind("torch", torch["kind"])
        theirs = _shaped(kind, own, theirs)
        problem = _problem(own, theirs, tensor_compare.COARSE.get(kind, tensor_compare.CONSTANT))
        if problem is None:
            if _problem(own, theirs, ROUNDING):
                self.constants.append(f"{torch['layer']}, {torch['kind']}")
            return []
        side = self.comparison.changed
        path = torch["layer"] if side == "torch" else paddle["layer"]
        line = self.comparison.line(side, path)
        where = torch["layer"] or "the network"
        if self.known & {where, paddle["layer"]}:
            return []  # told already: its weights are not what they should be
        for name, call in (("torch", torch), ("paddle", paddle)):
            acts = any(word in call["kind"] for word in ("Norm", "Dropout"))
            if call["training"] and not self.training and acts:
                what = f"{NAMES[name]}'s {call['kind']} is left in train mode"
                line = self.comparison.line(name, call["layer"])
                fix = "call eval() on the network, and do not override it"
                return [Cause(where, what, at(line, fix, "for"), line)]
        what, fix = self._layer_cause(torch, paddle, own, theirs, problem)
        return [Cause(where, what, at(line, fix), line)]

    def _layer_cause(self, torch, paddle, own, theirs, problem) -> tuple[str, str]:
        both = {"torch": torch, "paddle": paddle}
        kind = {name: layer_types.canonical_kind(name, call["kind"]) for name, call in both.items()}
        side = self.comparison.changed
        right = "torch" if side == "paddle" else "paddle"
        if kind["torch"] != kind["paddle"]:
            what = f"{torch['kind']} in PyTorch, {paddle['kind']} in PaddlePaddle"
            return what, f"use what {NAMES[right]}'s {kind[right]} corresponds to"
        pairs = settings.of_layers(self.comparison, torch["layer"], paddle["layer"])
        pairs = {name: values for name, values in pairs.items() if name != "momentum"}
        if pairs:
            return settings.explained(side, kind["torch"], pairs)
        found = self._linear(torch, theirs) or _relation(own, theirs)
        if found:
            what = f"on the same input PaddlePaddle's output, set against PyTorch's, is {found}"
        else:
            what = f"other numbers on the same input ({problem})"
        return what, "compare the two layers' code and what they are made with"

    def _linear(self, torch: dict, theirs: list[np.ndarray]) -> str | None:
        """Return how Paddle's numbers follow from the input of PyTorch's fully connected layer."""
        weight = self.weights.get(f"{torch['layer']}.weight")
        if torch["kind"] != "Linear" or weight is None or len(theirs) != 1:
            return None
        (given,) = self._load("torch", torch["inputs"])
        bias = self.weights.get(f"{torch['layer']}.bias")
        return relations.explain_linear(given, weight, bias, theirs[0])

    # -- between two layers --

    def _judge_gap(self, before: tuple[int, int], after: tuple[int, int]) -> list[Cause] | None:
        """Return what is wrong between two pairs of calls; None where all that comes is the same.

        An empty list: other numbers come, for a cause that has been told.
        """
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
            kind = layer_types.canonical_kind("torch", self.calls["torch"][after[0]]["kind"])
            theirs = _shaped(kind, own, theirs)
        problem = _problem(own, theirs)
        if problem is None:
            return None
        left, right = self._name(before[0]), self._name(after[0])
        side = self.comparison.changed
        number = FRAMEWORKS.index(side)
        line = self._line_of(side, after[number]) or self._line_of(side, before[number])
        if self.known & {call["layer"] for call in self._between(before, after)}:
            return []  # told already
        cause = self._dropouts(before, after)
        cause = cause or self._unpaired(before, after, own, theirs, problem)
        if cause is not None:
            line = cause.line or line
            where = cause.where or right
            return [replace(cause, where=where, fix=at(line, cause.fix), line=line)]
        what = f"between {left} and {right}: {self._told(before, own, theirs) or problem}"
        fix = f"compare what the two networks do between {left} and {right}"
        return [Cause(right, what, at(line, fix, "in or just before"), line)]

    def _between(self, before: tuple[int, int], after: tuple[int, int]) -> list[dict]:
        """Return the calls without partner of both sides between two pairs."""
        runs = enumerate(self.calls.values())
        return [call for n, calls in runs for call in calls[before[n] + 1 : after[n]]]

    def _told(self, before: tuple[int, int], own: list, theirs: list) -> str | None:
        """Return in words what Paddle's numbers are of PyTorch's, or the reverse."""
        found = _relation(own, theirs) or self._sum(before, own, theirs)
        if found:
            return f"what comes there in PaddlePaddle, set against PyTorch's, is {found}"
        found = _relation(theirs, own, "PaddlePaddle")
        return found and f"what comes there in PyTorch, set against PaddlePaddle's, is {found}"

    def _sum(self, before: tuple[int, int], own: list, theirs: list) -> str | None:
        """Look for an earlier output that one side alone adds: a residual, lost or gained."""
        if not len(own) == len(theirs) == 1:
            return None
        earlier = {
            f"the output of {call['layer']}": self._load("torch", call["outputs"][:1])[0]
            for call in self.calls["torch"][: before[0] + 1]
            if call["outputs"]
        }
        return relations.explain_sum(own[0], theirs[0], earlier)

    def _stopped(self, before: tuple[int, int]) -> list[Cause]:
        """Tell of the error that stopped one side, and of the input that it could not take."""
        side = next(side for side in FRAMEWORKS if self.runs[side]["error"])
        other = "paddle" if side == "torch" else "torch"
        error, stopped = self.runs[side]["error"], self.runs[side]["stopped"]
        after = self._name(before[FRAMEWORKS.index(side)], side)
        partners = self.comparison.match.layers
        partners = partners if side == "torch" else {p: t for t, p in partners.items()}
        layer = stopped and stopped["layer"]
        partner = partners.get(layer, layer)
        where = (partner if side == "paddle" else layer) or after
        if self.known & {where, self._name(before[0] + 1)}:
            return []  # what is known to be wrong there may well be why
        text = f"{NAMES[side]} stops {f'in {layer}' if layer else f'after {after}'}: {error}"
        calls = self.calls[other][before[FRAMEWORKS.index(other)] + 1 :]
        twin = next((call for call in calls if call["layer"] == partner), None)
        if twin is not None:
            shapes = {
                name: [list(array.shape) for array in self._load(name, one["inputs"])]
                for name, one in ((side, stopped), (other, twin))
            }
            if shapes[side] != shapes[other]:
                given = {name: ", ".join(map(str, found)) for name, found in shapes.items()}
                text = (
                    f"{NAMES[side]}'s {layer} is given {given[side]}, {NAMES[other]}'s "
                    f"{given[other]}: a flatten or reshape is missing before it, or goes otherwise "
                    f"({error})"
                )
        return [Cause(where, text, f"mend the error of {NAMES[side]} first")]

    def _dropouts(self, before, after) -> Cause | None:
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
                    what = f"dropout in {NAMES[side]} before {place} acts in evaluation"
                    fix = "give dropout training=self.training, and call eval() on the network"
                    return Cause(layer, f"{what} (train mode)", fix, active[0]["line"])
        odd = [one for one in right if one["mode"] != "upscale_in_train" and one["p"]]
        if odd:
            what = (
                f"dropout before {place} has mode={odd[0]['mode']!r}: it scales by 1 - p in "
                "evaluation, where PyTorch scales by 1 / (1 - p) in training"
            )
            return Cause(layer, what, 'set mode="upscale_in_train"', odd[0]["line"])
        rates = [
            [one["p"] for one in dropouts if one["p"] and one["training"]]
            for dropouts in (left, right)
        ]
        if rates[0] == rates[1] or not self.training:
            return None
        words = [", ".join(f"p={rate:g}" for rate in own) or "none" for own in rates]
        what = f"dropout before {place}: {words[0]} in PyTorch, {words[1]} in PaddlePaddle"
        side = self.comparison.changed
        wanted = rates[0] if side == "paddle" else rates[1]
        fix = f"remove the dropout before {place}"
        if wanted:
            verb = "make it" if all(rates) else "add"
            fix = f"{verb} nn.Dropout({wanted[0]:g}) before {place}"
        own = next(iter(right if side == "paddle" else left), None)
        line = own and (self.comparison.line(side, own["layer"]) or own["line"])
        return Cause(layer, what, fix, line)

    def _dropouts_within(self, side: str, before: int, after: int) -> list[dict]:
        """Return the dropouts of a gap that no layer did, or a layer without partner."""
        return [
            one
            for one in self.runs[side]["dropouts"]
            if before < one["calls"] <= after
            and not (one["layer"] is not None and one["calls"] == after)
        ]

    def _unpaired(self, before, after, own, theirs, problem) -> Cause | None:
        """Name what the two sides do in a gap by functions, and by layers without partner.

        A function that stands for a layer, with other settings; or what one side alone does.
        """
        networks, lines = self.comparison.networks, self.comparison.lines
        steps = {
            side: functional.within(
                networks[side], lines(side), self.runs[side], before[n], after[n]
            )
            for n, side in enumerate(FRAMEWORKS)
        }
        if not steps["torch"] and not steps["paddle"]:
            return None
        side = self.comparison.changed
        alone = []
        for left, right in functional.pairs(steps["torch"], steps["paddle"]):
            if left is None or right is None:
                alone.append(left or right)
                continue
            mine = right if side == "paddle" else left
            where = left.path or right.path or ""
            what = f"{left.text} in PyTorch, {right.text} in PaddlePaddle"
            what = left.text if left.text == right.text else what
            if left.kind != right.kind:
                fix = f"use what corresponds to {(left if side == 'paddle' else right).text}"
                return Cause(where, what, fix, mine.line)
            pairs = settings.differing(left.settings, right.settings)
            if pairs:
                words, fix = settings.explained(side, left.kind, pairs)
                return Cause(where, f"{what}: {words}", fix, mine.line)
        calls = self.calls["torch"][before[0] + 1 : after[0]]
        linear = self._linear(calls[-1], theirs) if calls else None
        if linear or not alone:  # the same is done, with other tensors
            step = (steps[side] or steps["torch"])[-1]
            told = linear or self._told(before, own, theirs) or problem
            where = calls[-1]["layer"] if calls else ""
            fix = "look at the weight, the bias and the input that it is given"
            return Cause(where, f"{step.text} in {NAMES[side]}: {told}", fix, step.line)
        words = []
        for name in FRAMEWORKS:
            names = ", ".join(step.text for step in steps[name]) or "nothing of its kind"
            words.append(f"{NAMES[name]} runs {names}")
        what = f"between {self._name(before[0])} and {self._name(after[0])}, {'; '.join(words)}"
        told = self._told(before, own, theirs)
        what += f" ({told})" if told else ""
        where = next((step.path for step in alone if step.path), "")
        line = next((step.line for step in alone if step in steps[side]), None)
        moved = self._moved(alone, before, after)
        if moved:
            what = f"{what}; {moved}: another order"
            return Cause(where, what, "run them in the same order", line)
        return Cause(where, what, "run the same layers on both sides", line)

    def _moved(self, alone: list[functional.Step], before, after) -> str | None:
        """Say where the other side runs, without partner, what stands alone in this gap."""
        paired = {"torch": {i for i, _ in self.pairs}, "paddle": {j for _, j in self.pairs}}
        kinds_alone = {step.kind for step in alone}
        for n, side in enumerate(FRAMEWORKS):
            for place, call in enumerate(self.calls[side]):
                elsewhere = place not in paired[side] and not before[n] < place < after[n]
                if elsewhere and layer_types.canonical_kind(side, call["kind"]) in kinds_alone:
                    previous = self._name(place - 1, side)
                    return f"{NAMES[side]} runs {call['layer']} ({call['kind']}) after {previous}"
        return None


def _is_moved_dropout(left: Cause, right: Cause) -> bool:
    """Say whether one side has in the one place the dropout that it lacks in the other."""
    lacks = {
        side
        for cause in (left, right)
        for side in NAMES.values()
        if cause.cause.startswith("dropout before") and f"none in {side}" in cause.cause
    }
    return len(lacks) == 2


def _is_same_fault(left: Cause, right: Cause) -> bool:
    """Say whether two causes are one: the same words, or the same code run for two layers."""
    if left.where == right.where:
        return False
    both = left, right
    places = [re.sub(r"\d+", "", cause.where) for cause in both]
    same_code = left.line is not None and left.line == right.line and places[0] == places[1]
    moved = all("another order" in cause.cause for cause in both)
    return left.cause == right.cause or same_code or moved


def unexplained(first: Row) -> Cause:
    """Return the cause to tell where each layer by itself is the same."""
    text = f"{_numbers(first)}; each layer by itself gives the same on PyTorch's numbers"
    return Cause(first.name, text, "look at what the network does outside its layers")


def _problem(
    own: list[np.ndarray], theirs: list[np.ndarray], limit: float = tensor_compare.CONSTANT
) -> str | None:
    """Return how two lists of arrays differ, or None."""
    if len(own) != len(theirs):
        return f"{len(own)} tensors in PyTorch, {len(theirs)} in PaddlePaddle"
    for left, right in zip(own, theirs, strict=True):
        found = tensor_compare.compare(left, right)
        if found.problem:
            return found.problem
        if found.relative > limit:
            return f"differs by {found.largest:.3g}, {found.relative:.3g} of the largest number"
    return None


def _shaped(kind: str, own: list[np.ndarray], theirs: list[np.ndarray]) -> list[np.ndarray]:
    """Give what goes through a layer without axes the shape that it has in PyTorch.

    Whether a network flattens before an activation or a dropout, or after it, is no matter.
    """
    if kind not in layer_types.AXIS_FREE or len(own) != len(theirs):
        return theirs
    return [
        right.reshape(left.shape) if left.size == right.size else right
        for left, right in zip(own, theirs, strict=True)
    ]


def _relation(
    own: list[np.ndarray], theirs: list[np.ndarray], plain: str = "PyTorch"
) -> str | None:
    for left, right in zip(own, theirs, strict=False):
        if left.dtype.kind == right.dtype.kind == "f" and _problem([left], [right]):
            found = relations.explain(left.astype(np.float64), right.astype(np.float64))
            return found and found.replace("PyTorch", plain)
    return None


def _numbers(row: Row) -> str:
    found = row.float64
    if found is None or found.problem:
        return found.problem if found else "not run"
    if found.relative <= row.tolerance:
        found = row.float32
        return f"the same in float64, but {found.relative:.3g} apart in float32: a coarser format"
    return f"differs by {found.largest:.3g}, {found.relative:.3g} of the largest number"
