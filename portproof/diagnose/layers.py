"""What is wrong in a run: which layer, or which gap between two layers, and why."""

import itertools
import re
from dataclasses import dataclass, replace

import numpy as np

from portproof.core import tensor_compare
from portproof.core.comparison import Comparison
from portproof.core.findings import MOST, Cause, Difference, at
from portproof.core.tensor_compare import Row
from portproof.diagnose import relations, settings
from portproof.networks import functional, layer_types
from portproof.system.frameworks import FRAMEWORKS, NAMES, OTHER
from portproof.worker.client import to_mend

ROUNDING = 1e-12  # relative, float64: no layer by itself rounds by more
Arrays = list[np.ndarray]
Numbers = tuple[int, int]  # of a call of each side, torch's first; -1: the input


@dataclass(frozen=True)
class Gap:
    """What lies between two pairs of calls, where other numbers come out of it."""

    before: Numbers
    after: Numbers
    ours: Arrays  # what comes out
    theirs: Arrays
    problem: str


class Search:
    """Walks through the paired calls of one pass; each is judged on PyTorch's own numbers."""

    def __init__(self, comparison: Comparison, one_pass: dict, known: list[Cause]) -> None:
        name = one_pass["name"]
        self.comparison = comparison
        self.side = to_mend(comparison.sides)
        self.weights = comparison.held["torch"]
        self.training = one_pass["training"]
        self.known = {where for cause in known for where in (cause.where, *cause.also)}
        self.runs = {side: comparison.run(side, name) for side in FRAMEWORKS}
        self.calls = {side: run["calls"] for side, run in self.runs.items()}
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
        causes: list[Cause] = []
        before = (-1, -1)
        for pair in self.pairs:
            gap = self._judge_gap(before, pair)
            causes += self._judge_layer(pair) if gap is None else gap
            before = pair
        ends = len(self.calls["torch"]), len(self.calls["paddle"])
        causes += self._judge_gap(before, ends) or []
        return _without_echoes(causes)[:MOST]

    def _at(self, numbers: Numbers) -> dict[str, dict]:
        """Return the calls with these numbers, by side."""
        return {side: self.calls[side][n] for side, n in zip(FRAMEWORKS, numbers, strict=True)}

    def _load(self, side: str, files: list[str]) -> Arrays:
        return [np.load(self.comparison.folders[side] / file) for file in files]

    def _load_both(self, records: dict[str, dict], what: str) -> list[Arrays]:
        """Return inputs or outputs of two calls, or of the runs, Paddle's in PyTorch's shape.

        That is where the kind of layer has no axes: whether a network flattens before an activation
        or a dropout, or after it, is no matter.
        """
        ours, theirs = (self._load(side, records[side][what]) for side in FRAMEWORKS)
        kind = layer_types.canonical_kind("torch", records["torch"].get("kind", ""))
        if kind in layer_types.AXIS_FREE and len(ours) == len(theirs):
            for n, (left, right) in enumerate(zip(ours, theirs, strict=True)):
                theirs[n] = right.reshape(left.shape) if left.size == right.size else right
        return [ours, theirs]

    def _name(self, number: int, side: str = "torch") -> str:
        """Return the layer of a call of a side by its number, or which end that is."""
        if number < 0:
            return "the input"
        calls = self.calls[side]
        return calls[number]["layer"] if number < len(calls) else "the output"

    # -- one layer --

    def _judge_layer(self, pair: Numbers) -> list[Cause]:
        calls = self._at(pair)
        torch, paddle = calls.values()
        ours, theirs = self._load_both(calls, "outputs")
        kind = layer_types.canonical_kind("torch", torch["kind"])
        problem = _problem(ours, theirs, tensor_compare.COARSE.get(kind, tensor_compare.CONSTANT))
        if problem is None:
            if _problem(ours, theirs, ROUNDING):
                self.constants.append(f"{torch['layer']}, {torch['kind']}")
            return []
        where = torch["layer"] or "the network"
        if self.known & {where, paddle["layer"]}:
            return []  # its weights are known not to be what they should be
        for side, call in calls.items():
            acts = "Norm" in call["kind"] or "Dropout" in call["kind"]
            if call["training"] and not self.training and acts:
                cause = f"{NAMES[side]}'s {call['kind']} is left in train mode"
                line = self.comparison.lines(side).get(call["layer"])
                fix = "call eval() on the network, and do not override it"
                return [Cause(where, cause, at(line, fix, "for"), line)]
        line = self.comparison.lines(self.side).get(calls[self.side]["layer"])
        explained = self._other_layer(calls)
        if explained is None:
            cause = f"other numbers on the same input ({problem})"
            if relation := self._linear(torch, theirs) or _relation(ours, theirs):
                cause = "on the same input PaddlePaddle's output, set against PyTorch's, is "
                cause += relation
            explained = cause, "compare the two layers' code and what they are made with"
        cause, fix = explained
        return [Cause(where, cause, at(line, fix), line)]

    def _other_layer(self, calls: dict[str, dict]) -> tuple[str, str] | None:
        """Return cause and fix if two layers are of other kinds, or have other settings."""
        torch, paddle = calls.values()
        kind, other = (layer_types.canonical_kind(side, calls[side]["kind"]) for side in FRAMEWORKS)
        if kind != other:
            cause = f"{torch['kind']} in PyTorch, {paddle['kind']} in PaddlePaddle"
            right = kind if self.side == "paddle" else other
            return cause, f"use what {NAMES[OTHER[self.side]]}'s {right} corresponds to"
        pairs = settings.of_layers(self.comparison, torch["layer"], paddle["layer"])
        pairs.pop("momentum", None)
        return settings.explained(self.side, kind, pairs) if pairs else None

    def _linear(self, torch: dict, theirs: Arrays) -> str | None:
        """Return how Paddle's numbers follow from the input of PyTorch's fully connected layer."""
        weight = self.weights.get(f"{torch['layer']}.weight")
        if torch["kind"] != "Linear" or weight is None or len(theirs) != 1:
            return None
        (inputs,) = self._load("torch", torch["inputs"])
        bias = self.weights.get(f"{torch['layer']}.bias")
        return relations.explain_linear(inputs, weight, bias, theirs[0])

    # -- between two layers --

    def _judge_gap(self, before: Numbers, after: Numbers) -> list[Cause] | None:
        """Return what is wrong between two pairs of calls; None where all that comes is the same.

        An empty list: other numbers come, for a cause that is known.
        """
        if after[0] < len(self.calls["torch"]):
            after = self.starts.get(after[0], after[0]), after[1]
            ours, theirs = self._load_both(self._at(after), "inputs")
        elif any(run["error"] for run in self.runs.values()):
            return self._stopped(before)
        else:
            ours, theirs = self._load_both(self.runs, "outputs")
        problem = _problem(ours, theirs)
        if problem is None:
            return None
        gap = Gap(before, after, ours, theirs, problem)
        if self.known & {call["layer"] for side in FRAMEWORKS for call in self._within(gap, side)}:
            return []
        left, right = self._name(before[0]), self._name(after[0])
        calls, side = self.calls[self.side], FRAMEWORKS.index(self.side)
        ends = (calls[n]["line"] for n in (after[side], before[side]) if 0 <= n < len(calls))
        line = next(filter(None, ends), None)
        if cause := self._dropouts(gap) or self._unpaired(gap):
            line = cause.line or line
            return [replace(cause, where=cause.where or right, fix=at(line, cause.fix), line=line)]
        words = f"between {left} and {right}: {self._explain(gap) or problem}"
        fix = f"compare what the two networks do between {left} and {right}"
        return [Cause(right, words, at(line, fix, "in or just before"), line)]

    def _within(self, gap: Gap, side: str) -> list[dict]:
        """Return the calls without partner of one side in a gap."""
        n = FRAMEWORKS.index(side)
        return self.calls[side][gap.before[n] + 1 : gap.after[n]]

    def _explain(self, gap: Gap) -> str | None:
        """Return in words what Paddle's numbers are of PyTorch's, or the reverse."""
        if relation := _relation(gap.ours, gap.theirs) or self._sum(gap):
            return f"what comes there in PaddlePaddle, set against PyTorch's, is {relation}"
        words = "what comes there in PyTorch, set against PaddlePaddle's, is"
        relation = _relation(gap.theirs, gap.ours, "PaddlePaddle")
        return relation and f"{words} {relation}"

    def _sum(self, gap: Gap) -> str | None:
        """Look for an earlier output that one side alone adds: a residual, lost or gained."""
        if not len(gap.ours) == len(gap.theirs) == 1:
            return None
        earlier = {}
        for call in self.calls["torch"][: gap.before[0] + 1]:
            for output in self._load("torch", call["outputs"][:1]):
                earlier[f"the output of {call['layer']}"] = output
        return relations.explain_sum(gap.ours[0], gap.theirs[0], earlier)

    def _stopped(self, before: Numbers) -> list[Cause]:
        """Tell of the error that stopped one side, and of the input that it could not take."""
        side = next(side for side in FRAMEWORKS if self.runs[side]["error"])
        other = OTHER[side]
        starts = dict(zip(FRAMEWORKS, before, strict=True))
        error, stopped = self.runs[side]["error"], self.runs[side]["stopped"]
        after = self._name(starts[side], side)
        layer = stopped and stopped["layer"]
        partner = self.comparison.match.layers_from(side).get(layer, layer)
        where = (partner if side == "paddle" else layer) or after
        if self.known & {where, self._name(before[0] + 1)}:
            return []  # what is known to be wrong there may well be why
        text = f"{NAMES[side]} stops {f'in {layer}' if layer else f'after {after}'}: {error}"
        calls = self.calls[other][starts[other] + 1 :]
        twin = next((call for call in calls if call["layer"] == partner), None)
        if twin is not None:
            ours, theirs = self._load(side, stopped["inputs"]), self._load(other, twin["inputs"])
            shapes = [", ".join(str(list(a.shape)) for a in arrays) for arrays in (ours, theirs)]
            if shapes[0] != shapes[1]:
                text = f"{NAMES[side]}'s {layer} is given {shapes[0]}, {NAMES[other]}'s "
                text += f"{shapes[1]}: a flatten or reshape is missing or another ({error})"
        return [Cause(where, text, f"mend the error of {NAMES[side]} first")]

    def _dropouts(self, gap: Gap) -> Cause | None:
        """Compare the dropouts of a gap: those done by functions, and layers without partner."""
        name = self._name(gap.after[0])
        ours = self._within(gap, "torch")
        layer = next((call["layer"] for call in ours if "Dropout" in call["kind"]), name)
        dropouts, rates = {}, {}  # rates: of those that drop anything
        for side, start, end in zip(FRAMEWORKS, gap.before, gap.after, strict=True):
            every = self.runs[side]["dropouts"]
            # The layer that ends the gap is none of it.
            dropouts[side] = [d for d in every if start < d["calls"] < end + (d["layer"] is None)]
            active = [dropout for dropout in dropouts[side] if dropout["p"] and dropout["training"]]
            rates[side] = [dropout["p"] for dropout in active]
            if active and not self.training:
                cause = f"dropout in {NAMES[side]} before {name} acts in evaluation (train mode)"
                fix = "give dropout training=self.training, and call eval() on the network"
                return Cause(layer, cause, fix, active[0]["line"])
        for dropout in dropouts["paddle"]:
            if dropout["mode"] != "upscale_in_train" and dropout["p"]:
                cause = f"dropout before {name} has mode={dropout['mode']!r}: it scales by 1 - p "
                cause += "in evaluation, where PyTorch scales by 1 / (1 - p) in training"
                return Cause(layer, cause, 'set mode="upscale_in_train"', dropout["line"])
        if rates["torch"] == rates["paddle"] or not self.training:
            return None
        words = [", ".join(f"p={p:g}" for p in rates[side]) or "none" for side in FRAMEWORKS]
        cause = f"dropout before {name}: {words[0]} in PyTorch, {words[1]} in PaddlePaddle"
        fix = f"remove the dropout before {name}"
        if right := rates[OTHER[self.side]]:
            verb = "make it" if all(rates.values()) else "add"
            fix = f"{verb} nn.Dropout({right[0]:g}) before {name}"
        line = None
        for dropout in dropouts[self.side][:1]:
            line = self.comparison.lines(self.side).get(dropout["layer"]) or dropout["line"]
        return Cause(layer, cause, fix, line)

    def _unpaired(self, gap: Gap) -> Cause | None:
        """Name what one side alone does in a gap, or does by a function with other settings."""
        steps = {}
        for side, start, end in zip(FRAMEWORKS, gap.before, gap.after, strict=True):
            network, lines = self.comparison.networks[side], self.comparison.lines(side)
            steps[side] = functional.within(network, lines, self.runs[side], start, end)
        if not steps["torch"] and not steps["paddle"]:
            return None
        alone = []
        for pair in functional.pairs(steps["torch"], steps["paddle"]):
            if None in pair:
                alone.append(pair[0] or pair[1])
            elif cause := self._other_step(*pair):
                return cause
        calls = self._within(gap, "torch")
        linear = calls and self._linear(calls[-1], gap.theirs)
        relation = linear or self._explain(gap)
        if linear or not alone:  # the same is done, with other tensors
            step = (steps[self.side] or steps["torch"])[-1]
            cause = f"{step.text} in {NAMES[self.side]}: {relation or gap.problem}"
            fix = "look at the weight, the bias and the input that it is given"
            return Cause(calls[-1]["layer"] if calls else "", cause, fix, step.line)
        words = []
        for side in FRAMEWORKS:
            names = ", ".join(step.text for step in steps[side]) or "nothing of its kind"
            words.append(f"{NAMES[side]} runs {names}")
        left, right = self._name(gap.before[0]), self._name(gap.after[0])
        cause = f"between {left} and {right}, {'; '.join(words)}"
        cause += f" ({relation})" if relation else ""
        fix = "run the same layers on both sides"
        if moved := self._moved(alone, gap):
            cause, fix = f"{cause}; {moved}: another order", "run them in the same order"
        where = next((step.path for step in alone if step.path), "")
        line = next((step.line for step in alone if step in steps[self.side]), None)
        return Cause(where, cause, fix, line)

    def _other_step(self, left: functional.Step, right: functional.Step) -> Cause | None:
        """Return the cause if two partners are of other kinds, or have other settings."""
        mine, other = (right, left) if self.side == "paddle" else (left, right)
        what = f"{left.text} in PyTorch, {right.text} in PaddlePaddle"
        if left.kind != right.kind:
            cause, fix = what, f"use what corresponds to {other.text}"
        elif pairs := settings.differing(left.settings, right.settings):
            words, fix = settings.explained(self.side, left.kind, pairs)
            cause = f"{left.text if left.text == right.text else what}: {words}"
        else:
            return None
        return Cause(left.path or right.path or "", cause, fix, mine.line)

    def _moved(self, alone: list[functional.Step], gap: Gap) -> str | None:
        """Say where the other side runs, without partner, what stands alone in this gap."""
        kinds = {step.kind for step in alone}
        for n, side in enumerate(FRAMEWORKS):
            paired = {pair[n] for pair in self.pairs}
            for number, call in enumerate(self.calls[side]):
                elsewhere = number not in paired and not gap.before[n] < number < gap.after[n]
                if elsewhere and layer_types.canonical_kind(side, call["kind"]) in kinds:
                    previous = self._name(number - 1, side)
                    return f"{NAMES[side]} runs {call['layer']} ({call['kind']}) after {previous}"
        return None


def _without_echoes(causes: list[Cause]) -> list[Cause]:
    """Tell the same fault of many layers once, and not what an earlier dropout brings about."""
    kept: list[Cause] = []
    for cause in causes:
        twin = next((other for other in kept if _is_same_fault(other, cause)), None)
        if twin is not None:
            twin.also.append(cause.where)
        elif kept and _is_moved_dropout(kept[-1], cause):
            last = kept[-1]
            words = f"{last.cause}; {cause.cause}: in another place"
            fix = f"{last.fix}; {cause.fix}"
            kept[-1] = replace(last, cause=words, fix=fix, also=[cause.where])
        elif "dropout is active" not in cause.cause or not any("ropout" in k.cause for k in kept):
            kept.append(cause)
    return kept


def _is_moved_dropout(left: Cause, right: Cause) -> bool:
    """Say whether one side has in the one place the dropout that it lacks in the other."""
    lacks = [re.match(r"dropout before .*none in (\w+)", cause.cause) for cause in (left, right)]
    return all(lacks) and lacks[0][1] != lacks[1][1]


def _is_same_fault(left: Cause, right: Cause) -> bool:
    """Say whether two causes are one: the same words, or the same code run for two layers."""
    if left.where == right.where:
        return False
    layers = {re.sub(r"\d+", "", cause.where) for cause in (left, right)}
    same_code = left.line is not None and left.line == right.line and len(layers) == 1
    moved = "another order" in left.cause and "another order" in right.cause
    return left.cause == right.cause or same_code or moved


def unexplained(first: Row) -> Cause:
    """Return the cause to tell where each layer by itself is the same."""
    words = first.float64.problem or _sizes(first.float64)
    if first.float64.relative <= first.tolerance:
        apart = f"{first.float32.relative:.3g} apart in float32"
        words = f"the same in float64, but {apart}: a coarser format"
    cause = f"{words}; each layer by itself gives the same on PyTorch's numbers"
    return Cause(first.name, cause, "look at what the network does outside its layers")


def _sizes(difference: Difference) -> str:
    return f"differs by {difference.largest:.3g}, {difference.relative:.3g} of the largest number"


def _problem(ours: Arrays, theirs: Arrays, limit: float = tensor_compare.CONSTANT) -> str | None:
    """Return how two lists of arrays differ, or None."""
    if len(ours) != len(theirs):
        return f"{len(ours)} tensors in PyTorch, {len(theirs)} in PaddlePaddle"
    for left, right in zip(ours, theirs, strict=True):
        difference = tensor_compare.compare(left, right)
        if difference.relative > limit:
            return difference.problem or _sizes(difference)
    return None


def _relation(ours: Arrays, theirs: Arrays, plain: str = "PyTorch") -> str | None:
    for left, right in zip(ours, theirs, strict=False):
        if left.dtype.kind == right.dtype.kind == "f" and _problem([left], [right]):
            relation = relations.explain(left.astype(np.float64), right.astype(np.float64))
            return relation and relation.replace("PyTorch", plain)
    return None
