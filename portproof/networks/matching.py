"""Which layer of one network is which of the other, and which tensor goes where."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from portproof.networks import layer_types
from portproof.system.frameworks import NAMES, OTHER

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
        layers: dict[str, list[Key]] = {}
        for key in self.keys.values():
            layers.setdefault(key.layer, []).append(key)
        return layers

    def in_order(self, paths: list[str]) -> tuple[list[str], list[str]]:
        """Split `paths` into those that run, in the order of their first call, and the others."""
        order = dict.fromkeys(self.order or [])  # a layer may run more than once
        return [path for path in order if path in paths], [p for p in paths if p not in order]


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


def signature(keys: list[Key]) -> tuple:
    """Return what must be equal in two layers that are to be one another's partner."""
    kind = "BatchNorm" if keys[0].kind.startswith("BatchNorm") else keys[0].kind
    tensors = sorted((key.role, key.shape) for key in keys if key.role != layer_types.COUNTER)
    return kind, tuple(tensors)


def signatures(layers: dict[str, list[Key]], paths: list[str]) -> list[tuple]:
    """Return the signature of each of these layers."""
    return [signature(layers[path]) for path in paths]


def opcodes(left: list, right: list) -> list[tuple[str, int, int, int, int]]:
    """Return where two sequences are equal, and where not, as difflib has it."""
    return difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()


def match(torch: Network, paddle: Network, named: dict[str, str] | None = None) -> Match:
    """Pair the layers of two networks: as `named`, by name, else by the order in which they run.

    Never guesses: what is left over or could be paired in more than one way becomes a trouble.
    """
    match = Match()
    left, right = torch.weighted(), paddle.weighted()
    for torch_path, paddle_path in (named or {}).items():
        for side, path, layers in (("torch", torch_path, left), ("paddle", paddle_path, right)):
            if path not in layers:
                match.troubles.append(f"--map names {path!r}, no layer with weights in {side}")
        match.layers[torch_path] = paddle_path
    if match.troubles:
        return match
    both = left.keys() & right.keys()
    if not named and _are_twins(left, both) and _are_twins(right, both):
        _pair_same_names(list(left), list(right), match)
    else:
        _pair_layers(torch, paddle, left, right, match)
    _pair_keys(left, right, match)
    return match


def _are_twins(layers: dict[str, list[Key]], known: Collection[str]) -> bool:
    """Say whether all layers but the known ones hold only tensors that those hold too."""
    held = {key.tensor for path in known for key in layers[path]}
    return all(key.tensor in held for path in layers if path not in known for key in layers[path])


def _pair_same_names(rest_left: list[str], rest_right: list[str], match: Match) -> None:
    match.layers |= {path: path for path in rest_left if path in rest_right}
    match.unpaired["torch"] += [path for path in rest_left if path not in rest_right]
    match.unpaired["paddle"] += [path for path in rest_right if path not in rest_left]


def _pair_layers(torch: Network, paddle: Network, left: dict, right: dict, match: Match) -> None:
    rest_left = [path for path in left if path not in match.layers]
    rest_right = [path for path in right if path not in match.layers.values()]
    if not torch.order or not paddle.order:
        _pair_same_names(rest_left, rest_right, match)
        for side in (torch, paddle):
            if side.error and match.unpaired["torch"] and match.unpaired["paddle"]:
                match.troubles.append(
                    f"the names of the layers differ, and {NAMES[side.framework]}'s network could "
                    f"not be run to learn their order ({side.error}); give --input-shape"
                )
        return
    run_left, idle_left = torch.in_order(rest_left)
    run_right, idle_right = paddle.in_order(rest_right)
    same = [
        path for path in left if path in right and signature(left[path]) == signature(right[path])
    ]
    signs_left, signs_right = signatures(left, run_left), signatures(right, run_right)
    if signs_left == signs_right:
        match.how = "by order"
        for path, partner in zip(run_left, run_right, strict=True):
            if path in same and path != partner and partner in left:
                match.troubles.append(
                    f"ambiguous: by its name torch's {path} is Paddle's {path}, by the order in "
                    f"which the layers run it is {partner}; say which by --map {path}=..."
                )
    else:  # some names agree, or a part of the order does: pair what is certain, name the rest
        match.how = "by name and order"
        match.layers |= {path: path for path in rest_left if path in rest_right and path in same}
        run_left, idle_left = torch.in_order([p for p in rest_left if p not in match.layers])
        used = match.layers.values()
        run_right, idle_right = paddle.in_order([p for p in rest_right if p not in used])
    _pair_runs(left, right, run_left, run_right, match)
    _pair_idle(left, right, idle_left, idle_right, match)


def _pair_runs(left: dict, right: dict, run_left: list, run_right: list, match: Match) -> None:
    """Pair two sequences where their signatures agree; a changed layer pairs with its like."""
    signs = signatures(left, run_left), signatures(right, run_right)
    for what, i, i_end, j, j_end in opcodes(*signs):
        kinds_left = [left[path][0].kind for path in run_left[i:i_end]]
        kinds_right = [right[path][0].kind for path in run_right[j:j_end]]
        if what == "equal" or kinds_left == kinds_right:
            match.layers |= dict(zip(run_left[i:i_end], run_right[j:j_end], strict=True))
        else:
            match.unpaired["torch"] += run_left[i:i_end]
            match.unpaired["paddle"] += run_right[j:j_end]


def _pair_idle(left: dict, right: dict, idle_left: list, idle_right: list, match: Match) -> None:
    """Pair layers that the network has and did not run: by name, or where only one fits."""
    named = [p for p in idle_left if p in idle_right and signature(left[p]) == signature(right[p])]
    match.layers |= {path: path for path in named}
    rest_left = [path for path in idle_left if path not in named]
    rest_right = [path for path in idle_right if path not in named]
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
    paired = match.layers.values()
    match.unpaired["paddle"] += [path for path in rest_right if path not in paired]


def _pair_keys(left: dict, right: dict, match: Match) -> None:
    for torch_path, paddle_path in match.layers.items():
        torch, paddle = _roles(left[torch_path]), _roles(right[paddle_path])
        shapes = [key.shape for key in torch.values()]
        if set(torch) != set(paddle) and shapes == [key.shape for key in paddle.values()]:
            # A layer of the user's own, its tensors named otherwise: they pair in their order.
            paddle = dict(zip(torch, paddle.values(), strict=True))
        for role in torch | paddle:
            _pair_role(torch.get(role), paddle.get(role), match)
    paired = {"torch": set(match.keys), "paddle": set(match.keys.values())}
    for side, layers in (("torch", left), ("paddle", right)):
        twins = {k.tensor: k.key for keys in layers.values() for k in keys if k.key in paired[side]}
        for path in match.unpaired[side]:
            keys = _roles(layers[path]).values()
            if all(key.tensor in twins for key in keys):
                tied = [key for key in layers[path] if key.tensor in twins]
                match.tied |= {key.key: twins[key.tensor] for key in tied}
                continue
            kind = layers[path][0].kind
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
