"""Which layer of one network is which of the other, and which tensor goes where."""

import difflib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from portproof.networks import layer_types
from portproof.system.frameworks import NAMES

HINTS = {
    "MultiheadAttention": " (PyTorch keeps query, key and value in one tensor, PaddlePaddle in "
    "three layers: such a network needs a conversion of its own)",
}


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
    linear: bool = False  # it is the weight of one of the framework's fully connected layers

    @property
    def tensor(self) -> str:
        """The one key that stands for all that are the same tensor."""
        return self.tied or self.key


@dataclass
class Network:
    """What a worker's `describe` said of a network, in torch's words."""

    framework: str
    keys: dict[str, Key]
    layers: dict[str, tuple[str, dict[str, Any]]]  # path -> kind, settings
    order: list[str] | None = None  # paths as the network calls them
    error: str | None = None  # why it could not be run
    files: list[list] = field(default_factory=list)  # of its classes, as [FILE, 1]

    @classmethod
    def from_report(cls, framework: str, report: dict[str, Any]) -> "Network":
        keys = {}
        for entry in report["keys"]:
            kind = layer_types.canonical_kind(framework, entry["kind"])
            role = layer_types.canonical_role(framework, kind, entry["role"])
            shape = tuple(entry["shape"])
            # Shapes never decide: a square weight is transposed too.
            linear = bool(entry["layout"]) and role in layer_types.LINEAR_ROLES and len(shape) == 2
            transposed = linear and entry["layout"] == "in, out"
            keys[entry["key"]] = Key(
                entry["key"],
                entry["layer"],
                role,
                kind,
                shape[::-1] if transposed else shape,
                transposed,
                entry["tied"],
                linear,
            )
        layers = {}
        for entry in report["layers"]:
            kind = layer_types.canonical_kind(framework, entry["kind"])
            settings = layer_types.canonical_settings(framework, kind, entry["settings"])
            layers[entry["layer"]] = kind, settings
        error = report.get("error")
        order = None if error else report.get("order")
        files = [[file, 1] for file in report.get("files", [])]
        return cls(framework, keys, layers, order, error, files)

    def names(self) -> list[str]:
        """Return the layers that hold tensors of their own."""
        return sorted({key.layer for key in self.keys.values() if not key.tied})

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
    tied: dict[str, str] = field(default_factory=dict)  # key without partner -> its twin
    troubles: list[str] = field(default_factory=list)
    how: str = "by name"


def signature(keys: list[Key]) -> tuple:
    """Return what must be equal in two layers that are to be one another's partner."""
    kind = "BatchNorm" if keys[0].kind.startswith("BatchNorm") else keys[0].kind
    tensors = sorted((key.role, key.shape) for key in keys if key.role != layer_types.COUNTER)
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
    both = left.keys() & right.keys()
    if not given and _are_twins(left, both) and _are_twins(right, both):
        found.layers = {path: path for path in left if path in both}
        for side, layers in (("torch", left), ("paddle", right)):
            found.unpaired[side] = [path for path in layers if path not in both]
    else:
        _pair_layers(torch, paddle, left, right, found)
    _pair_keys(left, right, found)
    return found


def _are_twins(layers: dict[str, list[Key]], known: Collection[str]) -> bool:
    """Say whether all layers but the known ones hold only tensors that those hold too."""
    held = {key.tensor for path in known for key in layers[path]}
    return all(key.tensor in held for path in layers if path not in known for key in layers[path])


def _pair_layers(torch: Network, paddle: Network, left: dict, right: dict, found: Match) -> None:
    rest_left = [path for path in left if path not in found.layers]
    rest_right = [path for path in right if path not in found.layers.values()]
    if not torch.order or not paddle.order:
        _pair_same_names(rest_left, rest_right, found)
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
    run_left, idle_left = torch.in_order([path for path in rest_left if path not in same])
    run_right, idle_right = paddle.in_order([path for path in rest_right if path not in same])
    _pair_runs(left, right, run_left, run_right, found)
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


def _pair_same_names(rest_left: list[str], rest_right: list[str], found: Match) -> None:
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
        own = {key.role: key for key in left[torch_path] if key.role != layer_types.COUNTER}
        theirs.pop(layer_types.COUNTER, None)
        shapes = [key.shape for key in own.values()]
        if set(own) != set(theirs) and shapes == [key.shape for key in theirs.values()]:
            # A layer of the user's own, its tensors named otherwise: they pair in their order.
            theirs = dict(zip(own, theirs.values(), strict=True))
        for role in own | theirs:
            _pair_role(own.get(role), theirs.get(role), found)
    paired = {"torch": set(found.keys), "paddle": set(found.keys.values())}
    for side, layers in (("torch", left), ("paddle", right)):
        twins = {k.tensor: k.key for keys in layers.values() for k in keys if k.key in paired[side]}
        for path in found.unpaired[side]:
            if all(key.tensor in twins for key in layers[path] if key.role != layer_types.COUNTER):
                found.tied |= {
                    key.key: twins[key.tensor] for key in layers[path] if key.tensor in twins
                }
            else:
                other = NAMES["paddle" if side == "torch" else "torch"]
                kind = layers[path][0].kind
                found.troubles.append(
                    f"{path or 'the network'} ({kind}{_shapes(layers[path])}) of {NAMES[side]} "
                    f"has no counterpart in {other}" + HINTS.get(kind, "")
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
    elif own.linear != theirs.linear and len(own.shape) == 2:
        known, unknown = (own, theirs) if own.linear else (theirs, own)
        found.troubles.append(
            f"{own.key} and {theirs.key}: one belongs to a Linear, which the frameworks keep "
            f"transposed, the other to {unknown.layer or 'the network'} ({unknown.kind}), of which "
            f"that is not known; derive it from the framework's Linear, as {known.layer} is"
        )
    elif own.shape != theirs.shape:
        found.troubles.append(
            f"{own.key} is {list(own.shape)} in PyTorch and {theirs.key} is "
            f"{list(theirs.shape)} in PaddlePaddle, in torch's layout"
        )
    else:
        found.keys[own.key] = theirs.key


def _shapes(keys: list[Key]) -> str:
    return "".join(
        f", {key.role} {list(key.shape)}" for key in keys if key.role != layer_types.COUNTER
    )
