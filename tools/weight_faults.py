"""What is wrong with weights: in a file, between two networks, or in how a tree loads them."""

from pathlib import Path

import numpy as np

from tools import kinds, relations
from tools.findings import Cause, Given
from tools.matching import Key, Match, Network
from tools.probes import FRAMEWORKS, NAMES
from tools.tensors import Tensors


def listed(names: list[str]) -> str:
    """Return the first names, how many more there are, and the verb."""
    if len(names) == 1:
        return f"{names[0]} is"
    more = f", {names[1]}" + (f" and {len(names) - 2} more" if names[2:] else "")
    return f"{names[0]}{more} are"


def unmatched(match: Match, networks: dict[str, Network]) -> list[Cause]:
    """Name every tensor of either network that has no partner, or one of another shape."""
    paired = {"torch": set(match.keys), "paddle": set(match.keys.values())}
    causes = [
        Cause("the networks", text, "see --map") for text in match.troubles if "mbiguous" in text
    ]
    for side in FRAMEWORKS:
        other = "paddle" if side == "torch" else "torch"
        partners = match.layers if side == "torch" else {p: t for t, p in match.layers.items()}
        for path, keys in networks[side].weighted().items():
            alone = [k for k in keys if k.key not in paired[side] and not _is_free(k)]
            if not alone:
                continue
            partner = partners.get(path)
            theirs = {} if partner is None else {k.role: k for k in _keys(networks[other], partner)}
            for key in alone:
                twin = theirs.get(key.role)
                if twin is not None and side == "paddle":
                    continue  # told from torch's side already
                causes.append(_alone(side, other, key, twin))
    return causes


def _is_free(key: Key) -> bool:
    return key.role == kinds.COUNTER or key.tied is not None


def _keys(network: Network, path: str) -> list[Key]:
    return network.weighted().get(path, [])


def _alone(side: str, other: str, key: Key, twin: Key | None) -> Cause:
    where = key.layer or "the network"
    if twin is not None:
        return Cause(
            where,
            f"{key.key} is {list(key.shape)} in PyTorch, {twin.key} is {list(twin.shape)} in "
            "PaddlePaddle (both in torch's layout): another kernel, width or number of groups",
            f"give {twin.layer} of PaddlePaddle the sizes of PyTorch's {key.layer}",
        )
    if key.role == "bias":
        lost = "lost" if side == "torch" else "gained"
        fix = "remove bias_attr=False" if side == "torch" else "add bias_attr=False"
        return Cause(
            where,
            f"the bias is {lost}: {key.key} of {NAMES[side]} has no counterpart in {NAMES[other]}",
            f"PaddlePaddle's {where}: {fix} (PyTorch has bias={side == 'torch'})",
        )
    return Cause(
        where,
        f"{key.key} {list(key.shape)} of {NAMES[side]} has no counterpart in {NAMES[other]}",
        f"add the layer to {NAMES[other]}, take it out of {NAMES[side]}, or pair it by --map",
    )


def file_misfits(path: Path, read: Tensors, network: Network) -> list[Cause]:
    """Name what a file lacks, has too much, or has in another shape, against its own network."""
    name = NAMES[network.framework]
    missing = [k for k in network.keys if k not in read and not _is_free(network.keys[k])]
    unknown = [k for k in read if k not in network.keys]
    for start in {
        key[: -len(missing[0])] for key in unknown if missing and key.endswith(missing[0])
    }:
        if all(start + key in unknown for key in missing):
            text = f"every key of {path.name} starts with {start!r}, which {name}'s network has not"
            layers = [network.keys[key].layer or key for key in missing]
            return [Cause(layers[0], text, f"take {start!r} away from the keys", also=layers[1:])]
    causes = []
    groups: dict[tuple, list[str]] = {}  # the same mistake in many layers is one cause
    for key in missing:
        twin = _renamed(network.keys[key], unknown)
        groups.setdefault((network.keys[key].role, twin is not None), []).append(key)
    for keys in groups.values():
        twin = _renamed(network.keys[keys[0]], unknown)
        because = f"; the file has {twin} in its place: not renamed" if twin else ""
        fix = f"rename {twin} to {keys[0]}" if twin else f"put {keys[0]} into the file"
        text = f"{listed(keys)} not in {path.name}{because}, so {name}'s layer keeps its start"
        layers = [network.keys[key].layer or key for key in keys]
        fix += f", and {len(keys) - 1} more like it" if keys[1:] else ""
        causes.append(Cause(layers[0], text, f"{fix}; check what loading returns", also=layers[1:]))
    taken = {_renamed(network.keys[key], unknown) for key in missing}
    left = [key for key in unknown if key not in taken]
    if left:
        text = f"{listed(left)} in {path.name}, unknown to {name}'s network"
        causes.append(Cause(left[0], text, "rename it, or take it out of the file"))
    for key, tensor in read.items():
        own = network.keys.get(key)
        if own is None:
            continue
        shape = own.shape[::-1] if own.transposed else own.shape
        if tensor.shape != shape:
            turned = tensor.shape == shape[::-1] and len(shape) == 2
            text = f"{key} is {list(tensor.shape)} in {path.name} and {list(shape)} in the network"
            if turned:
                text += f": the {own.kind} weight is not transposed"
            text += "; a framework that skips a misfit leaves the layer at its start"
            fix = "transpose it (Paddle keeps [in, out], torch [out, in])" if turned else "mend it"
            causes.append(Cause(own.layer, text, fix))
    return causes


_OTHER_NAMES = {
    "running_mean": ("_mean", "running_mean"),
    "running_var": ("_variance", "running_var", "_var"),
    "weight": ("gamma", "kernel", "scale", "w"),
    "bias": ("beta", "b"),
}


def _renamed(key: Key, unknown: list[str]) -> str | None:
    """Return the key that a file has in place of `key`: same layer, other name, or the reverse."""
    prefix = f"{key.layer}." if key.layer else ""
    for name in _OTHER_NAMES.get(key.role, ()):
        if prefix + name in unknown:
            return prefix + name
    same_role = [name for name in unknown if name.rpartition(".")[2] == key.key.rpartition(".")[2]]
    return same_role[0] if len(same_role) == 1 else None


def unequal(
    held: dict[str, dict[str, np.ndarray]], match: Match, networks: dict[str, Network]
) -> list[Cause]:
    """Name the tensors of two files that should be the same and are not."""
    causes = []
    for torch_key, paddle_key in match.keys.items():
        left, right = held["torch"].get(torch_key), held["paddle"].get(paddle_key)
        if left is None or right is None or left.shape != right.shape:
            continue  # told as missing or misfitting
        if np.array_equal(left, right, equal_nan=True):
            continue
        key = networks["torch"].keys[torch_key]
        if left.ndim == 2 and np.array_equal(left, right.T, equal_nan=True):
            text = f"{paddle_key} of PaddlePaddle's file is PyTorch's {torch_key} not transposed"
            fix = f"transpose it ({key.kind}: Paddle keeps [in, out], torch [out, in])"
        else:
            how = relations.explain_order(left.astype(np.float64), right.astype(np.float64))
            how = f": it is {how}" if how else ""
            largest = float(np.nanmax(np.abs(left.astype(np.float64) - right)))
            both = torch_key if torch_key == paddle_key else f"{torch_key} and {paddle_key}"
            text = f"{both} of the two files differ by up to {largest:.3g}{how}"
            fix = "carry the weights anew: tools/transfer_weights.py"
        causes.append(Cause(key.layer or torch_key, text, fix))
    return causes


def loading(given: Given, expected: dict[str, dict[str, dict[str, str]]]) -> list[Cause]:
    """Name the tensors that a tree's own load_weights did not put where they belong."""
    causes = []
    for side in FRAMEWORKS:
        report, network = given.reports[side], given.networks[side]
        where = f"{given.sides[side].tree.name}/checkpoint.py, load_weights"
        if report["load_error"]:
            causes.append(_load_error(report["load_error"], where, network))
            continue
        wrong = {
            key: digests
            for key, digests in expected[side].items()
            if report["loaded"].get(key) != digests["as it should be"]
        }
        turned = [k for k, own in wrong.items() if own.get("transposed") == report["loaded"].get(k)]
        lost = [key for key in wrong if key not in turned]
        for keys, text, fix in (
            (turned, "loaded as in the file, not transposed", "transpose it: `.T`"),
            (lost, "not loaded: a random start, or another tensor, is in its place", "load it"),
        ):
            if keys:
                layers = [network.keys[key].layer or key for key in keys]
                text = f"{listed(keys)} {text}"
                causes.append(Cause(layers[0], text, f"{where}: {fix}", also=layers[1:]))
    return causes


def _load_error(error: str, where: str, network: Network) -> Cause:
    named = max((key for key in network.keys if key in error), key=len, default="")
    layer = network.keys[named].layer if named else "the weights"
    fix = f"mend {where}"
    text = f"the weights cannot be loaded: {error}"
    if named:
        shape = list(network.keys[named].shape)
        if len(shape) == 2 and str(shape) in error and str(shape[::-1]) in error:
            text += f"; the {network.keys[named].kind} weight is not transposed"
            fix = f"{where}: transpose it (Paddle keeps [in, out], torch [out, in])"
    return Cause(layer, text, fix)
