"""Which layer of one network is which of the other, and which tensor goes where."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from portproof.networks import layer_types
from portproof.system.frameworks import FRAMEWORKS, NAMES, OTHER

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
        keys = {entry["key"]: _key(framework, entry) for entry in report["keys"]}
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
        layers: dict[str, list[Key]] = {}
        for key in self.keys.values():
            layers.setdefault(key.layer, []).append(key)
        return layers

    def in_order(self, paths: list[str]) -> list[str]:
        """Return those of `paths` that run, in the order of their first call."""
        return [path for path in dict.fromkeys(self.order or []) if path in paths]


Networks = dict[str, Network]  # by framework


def _key(framework: str, entry: dict[str, Any]) -> Key:
    kind = layer_types.canonical_kind(framework, entry["kind"])
    role = layer_types.canonical_role(framework, kind, entry["role"])
    shape, layout = tuple(entry["shape"]), entry["layout"]
    linear = layout is not None and role in layer_types.LINEAR_ROLES and len(shape) == 2
    turned = linear and layout == "in, out"  # shapes never decide: a square weight is turned too
    shape = shape[::-1] if turned else shape
    return Key(entry["key"], entry["layer"], role, kind, shape, turned, entry["tied"], linear)


@dataclass
class Match:
    """Pairs of layers and of keys, torch first, and what found no partner or misfits."""

    layers: dict[str, str] = field(default_factory=dict)  # torch path -> Paddle path
    keys: dict[str, str] = field(default_factory=dict)  # torch key -> Paddle key
    unpaired: dict[str, list[str]] = field(default_factory=lambda: {"torch": [], "paddle": []})
    tied: dict[str, str] = field(default_factory=dict)  # key without partner -> its twin
    troubles: list[str] = field(default_factory=list)
    how: str = "by name"

    def layers_from(self, framework: str) -> dict[str, str]:
        """Return the other side's layer of each layer of this framework."""
        return self.layers if framework == "torch" else {p: t for t, p in self.layers.items()}

    def keys_from(self, framework: str) -> dict[str, str]:
        """Return the other side's key of each key of this framework."""
        return self.keys if framework == "torch" else {p: t for t, p in self.keys.items()}


Layers = dict[str, list[Key]]  # of one network, as weighted() has them


def signature(keys: list[Key]) -> tuple:
    """Return what must be equal in two layers that are to be one another's partner."""
    kind = "BatchNorm" if keys[0].kind.startswith("BatchNorm") else keys[0].kind
    tensors = sorted((key.role, key.shape) for key in keys if key.role != layer_types.COUNTER)
    return kind, tuple(tensors)


def signatures(layers: Layers, paths: list[str]) -> list[tuple]:
    """Return the signature of each of these layers."""
    return [signature(layers[path]) for path in paths]


def align(left: list, right: list) -> Iterator[tuple[slice, slice, bool]]:
    """Yield the parts of two sequences that stand for each other, and whether they are equal."""
    for what, *ends in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        yield slice(*ends[:2]), slice(*ends[2:]), what == "equal"


def zip_or_part(left: Sequence, right: Sequence, are_partners: bool) -> list[tuple]:
    """Return pairs of partners, or else each entry beside None."""
    if are_partners:
        return list(zip(left, right, strict=True))
    return [(entry, None) for entry in left] + [(None, entry) for entry in right]


def match(torch: Network, paddle: Network, named: dict[str, str] | None = None) -> Match:
    """Pair the layers of two networks: as `named`, by name, else by the order in which they run.

    Never guesses: what is left over or could be paired in more than one way becomes a trouble.
    """
    match = Match(layers=dict(named or {}))
    left, right = torch.weighted(), paddle.weighted()
    for pair in match.layers.items():
        for side, path, layers in zip(FRAMEWORKS, pair, (left, right), strict=True):
            if path not in layers:
                match.troubles.append(f"--map names {path!r}, no layer with weights in {side}")
    if match.troubles:
        return match
    both = left.keys() & right.keys()
    if not named and _are_twins(left, both) and _are_twins(right, both):
        _pair_same_names(left, right, match)
    elif torch.order and paddle.order:
        _pair_by_order(torch, paddle, match)
    else:
        _pair_same_names(left, right, match)
        for side in (torch, paddle):
            if side.error and all(match.unpaired.values()):
                match.troubles.append(
                    f"the names of the layers differ, and {NAMES[side.framework]}'s network could "
                    f"not be run to learn their order ({side.error}); give --input-shape"
                )
    _pair_keys(left, right, match)
    return match


def _are_twins(layers: Layers, known: Collection[str]) -> bool:
    """Say whether all layers but the known ones hold only tensors that those hold too."""
    held = {key.tensor for path in known for key in layers[path]}
    return all(key.tensor in held for path in layers if path not in known for key in layers[path])


def _rest(left: Layers, right: Layers, match: Match) -> tuple[list[str], list[str]]:
    """Return the layers of both sides that are neither paired nor unpaired yet."""
    known_left = match.layers.keys() | set(match.unpaired["torch"])
    known_right = {*match.layers.values(), *match.unpaired["paddle"]}
    rest_left = [path for path in left if path not in known_left]
    return rest_left, [path for path in right if path not in known_right]


def _pair_same_names(left: Layers, right: Layers, match: Match) -> None:
    rest_left, rest_right = _rest(left, right, match)
    match.layers |= {path: path for path in rest_left if path in rest_right}
    match.unpaired["torch"], match.unpaired["paddle"] = _rest(left, right, match)


def _pair_by_order(torch: Network, paddle: Network, match: Match) -> None:
    left, right = torch.weighted(), paddle.weighted()
    rest_left, rest_right = _rest(left, right, match)
    run_left, run_right = torch.in_order(rest_left), paddle.in_order(rest_right)
    both = [path for path in left if path in right]
    same = [path for path in both if signature(left[path]) == signature(right[path])]
    if signatures(left, run_left) == signatures(right, run_right):
        match.how = "by order"
        for path, partner in zip(run_left, run_right, strict=True):
            if path in same and path != partner and partner in left:
                match.troubles.append(
                    f"ambiguous: by its name torch's {path} is Paddle's {path}, by the order in "
                    f"which the layers run it is {partner}; say which by --map {path}=..."
                )
    else:  # some names agree, or a part of the order does: pair what is certain, name the rest
        match.how = "by name and order"
        match.layers |= {path: path for path in same if path in rest_left and path in rest_right}
        rest_left, rest_right = _rest(left, right, match)
        run_left, run_right = torch.in_order(rest_left), paddle.in_order(rest_right)
    for i, j, is_equal in align(signatures(left, run_left), signatures(right, run_right)):
        ours, theirs = run_left[i], run_right[j]
        kinds = [left[path][0].kind for path in ours], [right[path][0].kind for path in theirs]
        if is_equal or kinds[0] == kinds[1]:  # a changed layer pairs with its like
            match.layers |= dict(zip(ours, theirs, strict=True))
        else:
            match.unpaired["torch"] += ours
            match.unpaired["paddle"] += theirs
    _pair_idle(left, right, match)


def _pair_idle(left: Layers, right: Layers, match: Match) -> None:
    """Pair layers that the network has and did not run: by name, or where only one fits."""
    rest = _rest(left, right, match)
    named = [p for p in rest[0] if p in rest[1] and signature(left[p]) == signature(right[p])]
    match.layers |= {path: path for path in named}
    rest_left, rest_right = _rest(left, right, match)
    for path in rest_left:
        sign = signature(left[path])
        candidates = [other for other in rest_right if signature(right[other]) == sign]
        if len(candidates) == 1 and signatures(left, rest_left).count(sign) == 1:
            match.layers[path] = candidates[0]
            continue
        match.unpaired["torch"].append(path)
        if candidates:
            match.troubles.append(
                f"ambiguous: torch's {path} does not run here and could be Paddle's "
                f"{' or '.join(candidates)}; say which by --map {path}={candidates[0]}"
            )
    match.unpaired["paddle"] += _rest(left, right, match)[1]


def _pair_keys(left: Layers, right: Layers, match: Match) -> None:
    for torch_path, paddle_path in match.layers.items():
        torch, paddle = _roles(left[torch_path]), _roles(right[paddle_path])
        shapes = [[key.shape for key in keys.values()] for keys in (torch, paddle)]
        if torch.keys() != paddle.keys() and shapes[0] == shapes[1]:
            # A layer of the user's own, its tensors named otherwise: they pair in their order.
            paddle = dict(zip(torch, paddle.values(), strict=True))
        for role in torch | paddle:
            _pair_role(torch.get(role), paddle.get(role), match)
    for side, layers in (("torch", left), ("paddle", right)):
        paired = match.keys_from(side)
        twins = {k.tensor: k.key for keys in layers.values() for k in keys if k.key in paired}
        for path in match.unpaired[side]:
            keys, kind = _roles(layers[path]).values(), layers[path][0].kind
            if all(key.tensor in twins for key in keys):
                tied = [key for key in layers[path] if key.tensor in twins]
                match.tied |= {key.key: twins[key.tensor] for key in tied}
                continue
            shapes = "".join(f", {key.role} {list(key.shape)}" for key in keys)
            match.troubles.append(
                f"{path or 'the network'} ({kind}{shapes}) of {NAMES[side]} has no counterpart in "
                f"{NAMES[OTHER[side]]}" + HINTS.get(kind, "")
            )


def _roles(keys: list[Key]) -> dict[str, Key]:
    """Return the keys of a layer by their roles, but for a counter, which Paddle does not have."""
    return {key.role: key for key in keys if key.role != layer_types.COUNTER}


def _pair_role(torch: Key | None, paddle: Key | None, match: Match) -> None:
    if torch is None or paddle is None:
        key, side = torch or paddle, "torch" if torch else "paddle"
        trouble = f"{key.key} of {NAMES[side]} has no counterpart in {NAMES[OTHER[side]]}"
        if key.role == "bias":
            trouble += " (bias=False in PyTorch, bias_attr=False in PaddlePaddle)"
        match.troubles.append(trouble)
    elif torch.linear != paddle.linear and len(torch.shape) == 2:
        known, unknown = (torch, paddle) if torch.linear else (paddle, torch)
        match.troubles.append(
            f"{torch.key} and {paddle.key}: one belongs to a Linear, which the frameworks keep "
            f"transposed, the other to {unknown.layer or 'the network'} ({unknown.kind}), of which "
            f"that is not known; derive it from the framework's Linear, as {known.layer} is"
        )
    elif torch.shape != paddle.shape:
        match.troubles.append(
            f"{torch.key} is {list(torch.shape)} in PyTorch and {paddle.key} is "
            f"{list(paddle.shape)} in PaddlePaddle, in torch's layout"
        )
    else:
        match.keys[torch.key] = paddle.key
