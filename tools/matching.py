"""Which layer of one network is which of the other, and which tensor goes where."""

import difflib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools import kinds
from tools.probes import NAMES


@dataclass(frozen=True)
class Key:
    """One entry of a state dict. `role`, `kind` and `shape` are torch's; `key` is the side's."""

    key: str
    layer: str
    role: str
    kind: str
    shape: tuple[int, ...]
    transposed: bool  # the framework keeps it as [in, out]
    tied: str | None  # the first key that is the same tensor


@dataclass
class Network:
    """What a probe's `describe` said of a network, in torch's words."""

    framework: str
    keys: dict[str, Key]
    layers: dict[str, tuple[str, dict[str, Any]]]  # path -> kind, settings
    order: list[str] | None = None  # paths as the network calls them
    error: str | None = None  # why it could not be run

    @classmethod
    def from_report(cls, framework: str, report: dict[str, Any]) -> "Network":
        keys = {}
        for entry in report["keys"]:
            kind = kinds.canonical_kind(framework, entry["kind"])
            role = kinds.canonical_role(framework, kind, entry["role"])
            transposed = kinds.is_transposed(framework, kind, role)
            shape = tuple(entry["shape"])
            keys[entry["key"]] = Key(
                entry["key"],
                entry["layer"],
                role,
                kind,
                shape[::-1] if transposed else shape,
                transposed,
                entry["tied"],
            )
        layers = {}
        for entry in report["layers"]:
            kind = kinds.canonical_kind(framework, entry["kind"])
            settings = kinds.canonical_settings(framework, kind, entry["settings"])
            layers[entry["layer"]] = kind, settings
        error = report.get("error")
        order = None if error else report.get("order")
        return cls(framework, keys, layers, order, error)

    def weighted(self) -> dict[str, list[Key]]:
        """Return the layers that have tensors, each with its keys, in the order of the file."""
        found: dict[str, list[Key]] = {}
        for key in self.keys.values():
            found.setdefault(key.layer, []).append(key)
        return found

    def in_order(self, paths: list[str]) -> tuple[list[str], list[str]]:
        """Split `paths` into those that run, in the order of their first call, and the others."""
        place = {}
        for number, path in enumerate(self.order or []):
            place.setdefault(path, number)
        run = sorted((path for path in paths if path in place), key=place.__getitem__)
        return run, [path for path in paths if path not in place]


@dataclass
class Match:
    """Pairs of layers and of keys, torch first, and what found no partner or misfits."""

    layers: dict[str, str] = field(default_factory=dict)  # torch path -> Paddle path
    keys: dict[str, str] = field(default_factory=dict)  # torch key -> Paddle key
    unpaired: dict[str, list[str]] = field(default_factory=lambda: {"torch": [], "paddle": []})
    tied: dict[str, str] = field(default_factory=dict)  # torch key without partner -> its twin
    troubles: list[str] = field(default_factory=list)
    how: str = "by name"


def signature(keys: list[Key]) -> tuple:
    """Return what must be equal in two layers that are to be one another's partner."""
    kind = "BatchNorm" if keys[0].kind.startswith("BatchNorm") else keys[0].kind
    tensors = sorted((key.role, key.shape) for key in keys if key.role != kinds.COUNTER)
    return kind, tuple(tensors)


def match(torch: Network, paddle: Network, given: dict[str, str] | None = None) -> Match:
    """Pair the layers of two networks: as `given`, by name, else by the order in which they run.

    Never guesses: what is left over or could be paired in more than one way becomes a trouble.
    """
    found = Match()
    left, right = torch.weighted(), paddle.weighted()
    for torch_path, paddle_path in (given or {}).items():
        for side, path, own in (("torch", torch_path, left), ("paddle", paddle_path, right)):
            if path not in own:
                found.troubles.append(f"--map names {path!r}, no layer with weights in {side}")
        found.layers[torch_path] = paddle_path
    if found.troubles:
        return found
    if not given and set(left) == set(right):
        found.layers = {path: path for path in left}
    else:
        _pair_layers(torch, paddle, left, right, found)
    _pair_keys(left, right, found)
    return found


def _pair_layers(torch: Network, paddle: Network, left: dict, right: dict, found: Match) -> None:
    rest_left = [path for path in left if path not in found.layers]
    rest_right = [path for path in right if path not in found.layers.values()]
    if not torch.order or not paddle.order:
        _pair_same_names(left, right, rest_left, rest_right, found)
        for side in (torch, paddle):
            if side.error and found.unpaired["torch"] and found.unpaired["paddle"]:
                found.troubles.append(
                    f"the names of the layers differ, and {NAMES[side.framework]}'s network could "
                    f"not be run to learn their order ({side.error}); give --input-shape"
                )
        return
    run_left, idle_left = torch.in_order(rest_left)
    run_right, idle_right = paddle.in_order(rest_right)
    signs_left = [signature(left[path]) for path in run_left]
    signs_right = [signature(right[path]) for path in run_right]
    found.how = "by order"
    if signs_left == signs_right:
        pairs = dict(zip(run_left, run_right, strict=True))
        for path, partner in pairs.items():
            elsewhere = path != partner and path in right and partner in left
            if elsewhere and signature(left[path]) == signature(right[path]):
                found.troubles.append(
                    f"ambiguous: by its name torch's {path} is Paddle's {path}, by the order in "
                    f"which the layers run it is {partner}; say which by --map {path}=..."
                )
        found.layers |= pairs
        _pair_idle(left, right, idle_left, idle_right, found)
        return
    # Some names agree, or a part of the order does: pair what is certain, name the rest.
    found.how = "by name and order"
    same = [
        path
        for path in rest_left
        if path in rest_right and signature(left[path]) == signature(right[path])
    ]
    found.layers |= {path: path for path in same}
    run_left = [path for path in run_left if path not in same]
    run_right = [path for path in run_right if path not in same]
    _pair_runs(left, right, run_left, run_right, found)
    idle_left = [path for path in idle_left if path not in same]
    idle_right = [path for path in idle_right if path not in same]
    _pair_idle(left, right, idle_left, idle_right, found)


def _pair_runs(left: dict, right: dict, run_left: list, run_right: list, found: Match) -> None:
    """Pair two sequences where their signatures agree; a changed layer pairs with its like."""
    signs_left = [signature(left[path]) for path in run_left]
    signs_right = [signature(right[path]) for path in run_right]
    differ = difflib.SequenceMatcher(None, signs_left, signs_right, autojunk=False)
    for what, i, i_end, j, j_end in differ.get_opcodes():
        alike = i_end - i == j_end - j and all(
            left[run_left[i + n]][0].kind == right[run_right[j + n]][0].kind
            for n in range(i_end - i)
        )
        if what == "equal" or alike:
            found.layers |= dict(zip(run_left[i:i_end], run_right[j:j_end], strict=True))
        else:
            found.unpaired["torch"] += run_left[i:i_end]
            found.unpaired["paddle"] += run_right[j:j_end]


def _pair_same_names(left: dict, right: dict, rest_left: list, rest_right: list, found: Match):
    for path in rest_left:
        if path in rest_right:
            found.layers[path] = path
        else:
            found.unpaired["torch"].append(path)
    found.unpaired["paddle"] += [path for path in rest_right if path not in rest_left]


def _pair_idle(left: dict, right: dict, idle_left: list, idle_right: list, found: Match) -> None:
    """Pair layers that the network has and did not run: by name, or where only one fits."""
    rest_left, rest_right = [], list(idle_right)
    for path in idle_left:
        if path in rest_right and signature(left[path]) == signature(right[path]):
            found.layers[path] = path
            rest_right.remove(path)
        else:
            rest_left.append(path)
    counts_left = Counter(signature(left[path]) for path in rest_left)
    by_sign = {}
    for path in rest_right:
        by_sign.setdefault(signature(right[path]), []).append(path)
    for path in rest_left:
        sign = signature(left[path])
        candidates = by_sign.get(sign, [])
        if len(candidates) == 1 and counts_left[sign] == 1:
            found.layers[path] = candidates[0]
            rest_right.remove(candidates[0])
        else:
            found.unpaired["torch"].append(path)
            if candidates:
                found.troubles.append(
                    f"ambiguous: torch's {path} does not run here and could be Paddle's "
                    f"{' or '.join(candidates)}; say which by --map {path}={candidates[0]}"
                )
    found.unpaired["paddle"] += rest_right


def _pair_keys(left: dict, right: dict, found: Match) -> None:
    for torch_path, paddle_path in found.layers.items():
        theirs = {key.role: key for key in right[paddle_path]}
        own = {key.role: key for key in left[torch_path] if key.role != kinds.COUNTER}
        theirs.pop(kinds.COUNTER, None)
        shapes = [key.shape for key in own.values()]
        if set(own) != set(theirs) and shapes == [key.shape for key in theirs.values()]:
            # A layer of the user's own, its tensors named otherwise: they pair in their order.
            theirs = dict(zip(own, theirs.values(), strict=True))
        for role in [*own, *(role for role in theirs if role not in own)]:
            _pair_role(own.get(role), theirs.get(role), found)
    for side, layers in (("torch", left), ("paddle", right)):
        for path in found.unpaired[side]:
            twins = [key.tied for key in layers[path] if key.role != kinds.COUNTER]
            if all(twins):
                found.tied |= {key.key: key.tied for key in layers[path] if key.tied}
            else:
                other = NAMES["paddle" if side == "torch" else "torch"]
                found.troubles.append(
                    f"{path or 'the network'} ({layers[path][0].kind}"
                    f"{_shapes(layers[path])}) of {NAMES[side]} has no counterpart in {other}"
                )


def _pair_role(own: Key | None, theirs: Key | None, found: Match) -> None:
    if own is None or theirs is None:
        key, side, other = (theirs, "paddle", "torch") if own is None else (own, "torch", "paddle")
        hint = ""
        if key.role == "bias":
            hint = " (bias=False in PyTorch, bias_attr=False in PaddlePaddle)"
        found.troubles.append(
            f"{key.key} of {NAMES[side]} has no counterpart in {NAMES[other]}{hint}"
        )
    elif own.shape != theirs.shape:
        found.troubles.append(
            f"{own.key} is {list(own.shape)} in PyTorch and {theirs.key} is "
            f"{list(theirs.shape)} in PaddlePaddle, in torch's layout"
        )
    else:
        found.keys[own.key] = theirs.key


def _shapes(keys: list[Key]) -> str:
    return "".join(f", {key.role} {list(key.shape)}" for key in keys if key.role != kinds.COUNTER)
