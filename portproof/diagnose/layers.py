"""What is wrong in a run: which layer, or which place between two layers, and why."""

import itertools
import re
from dataclasses import replace

import numpy as np

from portproof.core import tensor_compare
from portproof.core.comparison import Comparison
from portproof.core.findings import MOST, Cause, Difference, at
from portproof.core.tensor_compare import Row
from portproof.diagnose import relations, settings
from portproof.networks import functional, layer_types
from portproof.system.frameworks import FRAMEWORKS, NAMES

ROUNDING = 1e-12  # relative, float64: no layer by itself rounds by more
Arrays = list[np.ndarray]


class Search:
    """Walks through the paired calls of one pass; each is judged on PyTorch's own numbers."""

    def __init__(self, comparison: Comparison, one_pass: dict, known: list[Cause]) -> None:
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
        causes: list[Cause] = []
        before = (-1, -1)
        for i, j in self.pairs:
            gap = self._judge_gap(before, (i, j))
            causes += self._judge_layer(i, j) if gap is None else gap
            before = (i, j)
        ends = len(self.calls["torch"]), len(self.calls["paddle"])
        causes += self._judge_gap(before, ends) or []
        return _without_echoes(causes)[:MOST]

    def _load(self, side: str, files: list[str]) -> Arrays:
        return [np.load(self.comparison.folders[side] / file) for file in files]

    def _load_both(self, torch: dict, paddle: dict, what: str, kind: str = "") -> list[Arrays]:
        """Return inputs or outputs of two calls, Paddle's in PyTorch's shape.

        That is where the kind of layer has no axes: whether a network flattens before an activation
        or a dropout, or after it, is no matter.
        """
        ours, theirs = self._load("torch", torch[what]), self._load("paddle", paddle[what])
        if kind in layer_types.AXIS_FREE and len(ours) == len(theirs):
            theirs = [
                right.reshape(left.shape) if left.size == right.size else right
                for left, right in zip(ours, theirs, strict=True)
            ]
        return [ours, theirs]

    def _name(self, number: int, side: str = "torch") -> str:
        """Return the layer of a call of a side by its number, or which end that is."""
        if number < 0:
            return "the input"
        calls = self.calls[side]
        return calls[number]["layer"] if number < len(calls) else "the output"

    def _line_of(self, side: str, number: int) -> str | None:
        calls = self.calls[side]
        return calls[number]["line"] if 0 <= number < len(calls) else None

    # -- one layer --

    def _judge_layer(self, i: int, j: int) -> list[Cause]:
        torch, paddle = self.calls["torch"][i], self.calls["paddle"][j]
        kind = layer_types.canonical_kind("torch", torch["kind"])
        ours, theirs = self._load_both(torch, paddle, "outputs", kind)
        problem = _problem(ours, theirs, tensor_compare.COARSE.get(kind, tensor_compare.CONSTANT))
        if problem is None:
            if _problem(ours, theirs, ROUNDING):
                self.constants.append(f"{torch['layer']}, {torch['kind']}")
            return []
        side = self.comparison.changed
        line = self.comparison.line(side, (torch if side == "torch" else paddle)["layer"])
        where = torch["layer"] or "the network"
        if self.known & {where, paddle["layer"]}:
            return []  # its weights are known not to be what they should be
        for name, call in (("torch", torch), ("paddle", paddle)):
            acts = "Norm" in call["kind"] or "Dropout" in call["kind"]
            if call["training"] and not self.training and acts:
                cause = f"{NAMES[name]}'s {call['kind']} is left in train mode"
                line = self.comparison.line(name, call["layer"])
                fix = "call eval() on the network, and do not override it"
                return [Cause(where, cause, at(line, fix, "for"), line)]
        cause, fix = self._layer_cause(torch, paddle, ours, theirs, problem)
        return [Cause(where, cause, at(line, fix), line)]

    def _layer_cause(self, torch, paddle, ours, theirs, problem) -> tuple[str, str]:
        side = self.comparison.changed
        kinds = {
            name: layer_types.canonical_kind(name, call["kind"])
            for name, call in (("torch", torch), ("paddle", paddle))
        }
        if kinds["torch"] != kinds["paddle"]:
            right = "torch" if side == "paddle" else "paddle"
            cause = f"{torch['kind']} in PyTorch, {paddle['kind']} in PaddlePaddle"
            return cause, f"use what {NAMES[right]}'s {kinds[right]} corresponds to"
        pairs = settings.of_layers(self.comparison, torch["layer"], paddle["layer"])
        pairs.pop("momentum", None)
        if pairs:
            return settings.explained(side, kinds["torch"], pairs)
        cause = f"other numbers on the same input ({problem})"
        relation = self._linear(torch, theirs) or _relation(ours, theirs)
        if relation:
            cause = "on the same input PaddlePaddle's output, set against PyTorch's, is "
            cause += relation
        return cause, "compare the two layers' code and what they are made with"

    def _linear(self, torch: dict, theirs: Arrays) -> str | None:
        """Return how Paddle's numbers follow from the input of PyTorch's fully connected layer."""
        weight = self.weights.get(f"{torch['layer']}.weight")
        if torch["kind"] != "Linear" or weight is None or len(theirs) != 1:
            return None
        (inputs,) = self._load("torch", torch["inputs"])
        bias = self.weights.get(f"{torch['layer']}.bias")
        return relations.explain_linear(inputs, weight, bias, theirs[0])

    # -- between two layers --

    def _judge_gap(self, before: tuple[int, int], after: tuple[int, int]) -> list[Cause] | None:
        """Return what is wrong between two pairs of calls; None where all that comes is the same.

        An empty list: other numbers come, for a cause that is known.
        """
        if after[0] < len(self.calls["torch"]):
            after = self.starts.get(after[0], after[0]), after[1]
            calls = [self.calls[side][n] for side, n in zip(FRAMEWORKS, after, strict=True)]
            kind = layer_types.canonical_kind("torch", calls[0]["kind"])
            ours, theirs = self._load_both(*calls, "inputs", kind)
        elif any(run["error"] for run in self.runs.values()):
            return self._stopped(before)
        else:
            ours, theirs = self._load_both(*self.runs.values(), "outputs")
        problem = _problem(ours, theirs)
        if problem is None:
            return None
        left, right = self._name(before[0]), self._name(after[0])
        side = self.comparison.changed
        number = FRAMEWORKS.index(side)
        line = self._line_of(side, after[number]) or self._line_of(side, before[number])
        if self.known & {call["layer"] for call in self._between(before, after)}:
            return []
        cause = self._dropouts(before, after)
        cause = cause or self._unpaired(before, after, ours, theirs, problem)
        if cause is not None:
            line = cause.line or line
            fix = at(line, cause.fix)
            return [replace(cause, where=cause.where or right, fix=fix, line=line)]
        words = f"between {left} and {right}: {self._explain(before, ours, theirs) or problem}"
        fix = f"compare what the two networks do between {left} and {right}"
        return [Cause(right, words, at(line, fix, "in or just before"), line)]

    def _between(self, before: tuple[int, int], after: tuple[int, int]) -> list[dict]:
        """Return the calls without partner of both sides between two pairs."""
        runs = enumerate(self.calls.values())
        return [call for n, calls in runs for call in calls[before[n] + 1 : after[n]]]

    def _explain(self, before: tuple[int, int], ours: Arrays, theirs: Arrays) -> str | None:
        """Return in words what Paddle's numbers are of PyTorch's, or the reverse."""
        relation = _relation(ours, theirs) or self._sum(before, ours, theirs)
        if relation:
            return f"what comes there in PaddlePaddle, set against PyTorch's, is {relation}"
        words = "what comes there in PyTorch, set against PaddlePaddle's, is"
        relation = _relation(theirs, ours, "PaddlePaddle")
        return relation and f"{words} {relation}"

    def _sum(self, before: tuple[int, int], ours: Arrays, theirs: Arrays) -> str | None:
        """Look for an earlier output that one side alone adds: a residual, lost or gained."""
        if not len(ours) == len(theirs) == 1:
            return None
        earlier = {
            f"the output of {call['layer']}": self._load("torch", call["outputs"][:1])[0]
            for call in self.calls["torch"][: before[0] + 1]
            if call["outputs"]
        }
        return relations.explain_sum(ours[0], theirs[0], earlier)

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
            shapes, other_shapes = (
                ", ".join(str(list(array.shape)) for array in self._load(name, call["inputs"]))
                for name, call in ((side, stopped), (other, twin))
            )
            if shapes != other_shapes:
                text = f"{NAMES[side]}'s {layer} is given {shapes}, {NAMES[other]}'s "
                text += f"{other_shapes}: a flatten or reshape is missing before it, or goes "
                text += f"otherwise ({error})"
        return [Cause(where, text, f"mend the error of {NAMES[side]} first")]

    def _dropouts(self, before, after) -> Cause | None:
        """Compare the dropouts of a gap: those done by functions, and layers without partner."""
        dropouts = {
            side: [
                dropout
                for dropout in self.runs[side]["dropouts"]
                if before[n] < dropout["calls"] <= after[n]
                and not (dropout["layer"] is not None and dropout["calls"] == after[n])
            ]
            for n, side in enumerate(FRAMEWORKS)
        }
        name = self._name(after[0])
        ours = self.calls["torch"][before[0] + 1 : after[0]]
        layer = next((call["layer"] for call in ours if "Dropout" in call["kind"]), name)
        active = {
            side: [dropout for dropout in every if dropout["p"] and dropout["training"]]
            for side, every in dropouts.items()
        }
        for side in FRAMEWORKS:
            if active[side] and not self.training:
                cause = f"dropout in {NAMES[side]} before {name} acts in evaluation (train mode)"
                fix = "give dropout training=self.training, and call eval() on the network"
                return Cause(layer, cause, fix, active[side][0]["line"])
        for dropout in dropouts["paddle"]:
            if dropout["mode"] != "upscale_in_train" and dropout["p"]:
                cause = f"dropout before {name} has mode={dropout['mode']!r}: it scales by 1 - p "
                cause += "in evaluation, where PyTorch scales by 1 / (1 - p) in training"
                return Cause(layer, cause, 'set mode="upscale_in_train"', dropout["line"])
        rates = {side: [dropout["p"] for dropout in active[side]] for side in FRAMEWORKS}
        if rates["torch"] == rates["paddle"] or not self.training:
            return None
        words = [", ".join(f"p={p:g}" for p in rates[side]) or "none" for side in FRAMEWORKS]
        cause = f"dropout before {name}: {words[0]} in PyTorch, {words[1]} in PaddlePaddle"
        side = self.comparison.changed
        right = rates["torch" if side == "paddle" else "paddle"]
        fix = f"remove the dropout before {name}"
        if right:
            verb = "make it" if all(rates.values()) else "add"
            fix = f"{verb} nn.Dropout({right[0]:g}) before {name}"
        line = None
        for dropout in dropouts[side][:1]:
            line = self.comparison.line(side, dropout["layer"]) or dropout["line"]
        return Cause(layer, cause, fix, line)

    def _unpaired(self, before, after, ours, theirs, problem) -> Cause | None:
        """Name what the two sides do in a gap by functions, and by layers without partner.

        A function that stands for a layer, with other settings; or what one side alone does.
        """
        steps = {}
        for n, side in enumerate(FRAMEWORKS):
            network, lines = self.comparison.networks[side], self.comparison.lines(side)
            steps[side] = functional.within(network, lines, self.runs[side], before[n], after[n])
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
        relation = linear or self._explain(before, ours, theirs)
        if linear or not alone:  # the same is done, with other tensors
            step = (steps[side] or steps["torch"])[-1]
            cause = f"{step.text} in {NAMES[side]}: {relation or problem}"
            fix = "look at the weight, the bias and the input that it is given"
            return Cause(calls[-1]["layer"] if calls else "", cause, fix, step.line)
        words = []
        for name in FRAMEWORKS:
            names = ", ".join(step.text for step in steps[name]) or "nothing of its kind"
            words.append(f"{NAMES[name]} runs {names}")
        cause = f"between {self._name(before[0])} and {self._name(after[0])}, {'; '.join(words)}"
        cause += f" ({relation})" if relation else ""
        where = next((step.path for step in alone if step.path), "")
        line = next((step.line for step in alone if step in steps[side]), None)
        moved = self._moved(alone, before, after)
        if moved:
            cause = f"{cause}; {moved}: another order"
            return Cause(where, cause, "run them in the same order", line)
        return Cause(where, cause, "run the same layers on both sides", line)

    def _moved(self, alone: list[functional.Step], before, after) -> str | None:
        """Say where the other side runs, without partner, what stands alone in this gap."""
        paired = {"torch": {i for i, _ in self.pairs}, "paddle": {j for _, j in self.pairs}}
        kinds_alone = {step.kind for step in alone}
        for n, side in enumerate(FRAMEWORKS):
            for number, call in enumerate(self.calls[side]):
                elsewhere = number not in paired[side] and not before[n] < number < after[n]
                if elsewhere and layer_types.canonical_kind(side, call["kind"]) in kinds_alone:
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
            last = kept.pop()
            words = f"{last.cause}; {cause.cause}: in another place"
            fix = f"{last.fix}; {cause.fix}"
            kept.append(replace(last, cause=words, fix=fix, also=[cause.where]))
        elif "dropout is active" not in cause.cause or not any("ropout" in k.cause for k in kept):
            kept.append(cause)
    return kept


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
    difference = first.float64
    if difference is None or difference.problem:
        words = difference.problem if difference else "not run"
    elif difference.relative <= first.tolerance:
        apart = f"{first.float32.relative:.3g} apart in float32"
        words = f"the same in float64, but {apart}: a coarser format"
    else:
        words = _sizes(difference)
    cause = f"{words}; each layer by itself gives the same on PyTorch's numbers"
    return Cause(first.name, cause, "look at what the network does outside its layers")


def _sizes(difference: Difference) -> str:
    sizes = f"{difference.largest:.3g}, {difference.relative:.3g}"
    return f"differs by {sizes} of the largest number"


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
