"""What is wrong with weights: in a file, between two networks, or in how a port loads them."""

import itertools

import numpy as np

from portproof.core.comparison import Comparison
from portproof.core.findings import Cause, shorten
from portproof.diagnose import relations, source_lines
from portproof.files.state import digest, digests
from portproof.networks import layer_types
from portproof.networks.matching import Key, Match, Network
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.weights.initial import native
from portproof.weights.tensors import WeightsFile


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
            if side == "paddle" and partner in {cause.where for cause in causes}:
                continue  # told from torch's side already
            theirs = networks[other].weighted().get(partner, [])
            causes.append(_alone(side, other, alone, theirs))
    return causes + _shared(match, networks)


def _is_free(key: Key) -> bool:
    return key.role == layer_types.COUNTER or key.tied is not None


def _of_keys(keys: list[str], network: Network, text: str, fix: str) -> Cause:
    """Return a mistake in the tensors of some layers as one cause."""
    layers = list(dict.fromkeys(network.keys[key].layer or key for key in keys))
    return Cause(layers[0], text, fix, also=layers[1:])


def _alone(side: str, other: str, keys: list[Key], theirs: list[Key]) -> Cause:
    """Tell of the tensors of one layer that have no partner, or one that does not fit, as one."""
    where = keys[0].layer or "the network"
    kind = keys[0].kind
    twins = {key.role: key for key in theirs}
    both = [(key, twins[key.role]) for key in keys if key.role in twins]
    if theirs and kind != theirs[0].kind and any(key.linear != twin.linear for key, twin in both):
        own = next(twin if key.linear else key for key, twin in both if key.linear != twin.linear)
        return Cause(
            where,
            f"{own.layer} is a {own.kind} on one side, a Linear on the other: the frameworks keep "
            "the weight of a Linear transposed; whether this one does is not known",
            f"derive {own.kind} from the framework's Linear, or use that",
        )
    if theirs and kind != theirs[0].kind:
        names = {side: kind, other: theirs[0].kind}
        return Cause(
            where,
            f"{names['torch']} in PyTorch, {names['paddle']} in PaddlePaddle: not the same tensors",
            f"make {where} of PaddlePaddle what corresponds to {names['torch']}",
        )
    if both:
        shapes = "; ".join(
            f"{key.key} is {list(key.shape)} in PyTorch, {twin.key} is {list(twin.shape)} in "
            "PaddlePaddle"
            for key, twin in both
        )
        return Cause(
            where,
            f"{shapes} (both in torch's layout): another kernel, width or number of groups",
            f"give {both[0][1].layer} of PaddlePaddle the sizes of PyTorch's {where}",
        )
    if theirs and [key.role for key in keys] == ["bias"]:
        lost = "lost" if side == "torch" else "gained"
        fix = "remove bias_attr=False" if side == "torch" else "add bias_attr=False"
        return Cause(
            where,
            f"the bias is {lost}: {keys[0].key} of {NAMES[side]} has no counterpart in "
            f"{NAMES[other]}",
            f"PaddlePaddle's {where}: {fix} (PyTorch has bias={side == 'torch'})",
        )
    named = ", ".join(f"{key.key} {list(key.shape)}" for key in keys)
    what = ", ".join(key.role for key in keys) if theirs else f"a {kind}"
    return Cause(
        where,
        f"{where} ({kind}) of {NAMES[side]}: {named} without counterpart in {NAMES[other]}",
        f"add {what} to {NAMES[other]}, take it out of {NAMES[side]}, or pair it by --map "
        "(what is kept in a plain list is no part of a network)",
    )


def _shared(match: Match, networks: dict[str, Network]) -> list[Cause]:
    """Name the tensors that Paddle's network shares by itself: two of PyTorch's go into one."""
    causes = {}
    partners = {paddle: torch for torch, paddle in match.keys.items()}
    for key in networks["paddle"].keys.values():
        own, first = partners.get(key.key), partners.get(key.tied)
        if own is None or first is None:
            continue
        tensors = {networks["torch"].keys[name].tensor for name in (own, first)}
        if len(tensors) == 2:
            causes.setdefault(
                key.layer,
                Cause(
                    networks["torch"].keys[own].layer,
                    f"{key.key} and {key.tied} are one tensor in PaddlePaddle, shared, and two in "
                    "PyTorch",
                    f"give PaddlePaddle's {key.layer} weights of its own",
                    also=[networks["torch"].keys[first].layer],
                ),
            )
    return list(causes.values())


def of_files(comparison: Comparison, files: dict[str, WeightsFile]) -> list[Cause]:
    """Name what is wrong in two files, each against its own network, and one against the other."""
    causes = []
    for side, file in files.items():
        causes += file_misfits(file, comparison.networks[side])
    return causes + unequal(comparison.held, comparison.match, comparison.networks)


def file_misfits(file: WeightsFile, network: Network) -> list[Cause]:
    """Name what a file lacks, has too much, or has in another shape, against its own network."""
    name, path, read = NAMES[network.framework], file.path, file.tensors
    missing = [k for k in network.keys if k not in read and not _is_free(network.keys[k])]
    unknown = [k for k in read if k not in network.keys]
    start = _other_start(missing, unknown)
    if start:
        own, other = start
        text = f"every key of {path.name} starts with {other!r}, which {name}'s network has not"
        if own:
            text = f"{path.name} has {other!r} at the start of keys, {name}'s network has {own!r}"
        fix = f"write {own!r} in its place" if own else f"take {other!r} away from the keys"
        return [_of_keys(missing, network, text, fix)]
    causes = []
    groups: dict[str, list[str]] = {}  # the same mistake in many layers is one cause
    for key in missing:
        twin = _renamed(network.keys[key], unknown)
        groups.setdefault(network.keys[key].role if twin else "", []).append(key)
    for keys in groups.values():
        twin = _renamed(network.keys[keys[0]], unknown)
        because = f"; the file has {twin} in its place: not renamed" if twin else ""
        fix = f"rename {twin} to {keys[0]}" if twin else f"put {keys[0]} into the file"
        text = f"{listed(keys)} not in {path.name}{because}, so {name}'s layer keeps its start"
        fix += f", and {len(keys) - 1} more like it" if keys[1:] else ""
        causes.append(_of_keys(keys, network, text, f"{fix}; check what loading returns"))
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
            elif sorted(tensor.shape) == sorted(shape):
                text += ": its axes are in another order"
            text += "; a framework that skips a misfit leaves the layer at its start"
            fix = "transpose it (Paddle keeps [in, out], torch [out, in])" if turned else "mend it"
            causes.append(Cause(own.layer, text, fix))
    return causes


def _other_start(missing: list[str], unknown: list[str]) -> tuple[str, str] | None:
    """Return how the missing keys start, and how they do in the file, if that is all they lack."""
    for key in unknown if missing else []:
        backwards = zip(reversed(missing[0]), reversed(key), strict=False)
        same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], backwards)))
        own, other = missing[0][: len(missing[0]) - same], key[: len(key) - same]
        alike = all(
            name.startswith(own) and other + name[len(own) :] in unknown for name in missing
        )
        if same and alike and (len(missing) > 1 or not own):
            return own, other
    return None


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
    differ = {}
    for torch_key, paddle_key in match.keys.items():
        left, right = held["torch"].get(torch_key), held["paddle"].get(paddle_key)
        if left is None or right is None or left.shape != right.shape:
            continue  # told as missing or misfitting
        if not np.array_equal(left, right, equal_nan=True):
            differ[torch_key] = left, right
    groups: dict[tuple[str, str], list[str]] = {}  # the same mistake in many layers is one cause
    for torch_key in differ:
        groups.setdefault(_difference(torch_key, differ, networks["torch"]), []).append(torch_key)
    causes = []
    for (text, fix), keys in groups.items():
        named = [
            key if key == match.keys[key] else f"{match.keys[key]} (PyTorch's {key})"
            for key in keys
        ]
        largest = max(float(np.nanmax(np.abs(np.subtract(*differ[key])))) for key in keys)
        text = f"{listed(named)} {text} in PaddlePaddle's file"
        text += f": they differ by up to {largest:.3g}" if largest else ""
        causes.append(_of_keys(keys, networks["torch"], text, fix))
    return causes


def _difference(key: str, differ: dict, network: Network) -> tuple[str, str]:
    """Return what the second of two arrays of `key` is of the first, and what to change."""
    left, right = (array.astype(np.float64) for array in differ[key])
    anew = "carry the weights anew: portproof transfer"
    if left.ndim == 2 and np.array_equal(left, right.T, equal_nan=True):
        kind = network.keys[key].kind
        return (
            "PyTorch's, not transposed,",
            f"transpose it ({kind}: Paddle keeps [in, out], torch [out, in])",
        )
    if not np.isfinite(left).all() or not np.isfinite(right).all():
        return "NaN or infinite in other places", anew
    for other, (theirs, _) in differ.items():
        if other != key and np.array_equal(theirs, right):
            if np.array_equal(differ[other][1], left):
                return "in each other's place", "exchange them"
            return f"PyTorch's {other}", anew
    for name, rounded in relations.roundings(left).items():
        if np.array_equal(rounded, right):
            return f"rounded to {name}", "keep float32 in the file"
    found = relations.explain_order(left, right)
    return (f"PyTorch's, but {found}," if found else "not PyTorch's"), anew


def loading(comparison: Comparison) -> list[Cause]:
    """Name the tensors that a port's own load_weights did not put where they belong."""
    causes = []
    for side in FRAMEWORKS:
        port = comparison.sides[side]
        if port.model is not None:
            continue  # none of the port's networks: the worker loads it, by name
        report, network = comparison.reports[side], comparison.networks[side]
        line = source_lines.find_line(port, LOADING, report["loading"])
        where = shorten(line) if line else f"{port.folder.name}/{port.port.name}, load_weights"
        if report["load_error"]:
            file = (comparison.folders[side].parent / f"{side}.safetensors").resolve()
            error = report["load_error"].replace(str(file), "the weights")
            causes.append(_load_error(error, where, network))
            continue
        held = native(network, comparison.held[side])
        right = digests(held)
        loaded = report["loaded"]
        shared = {key.key for key in network.keys.values() if key.tied}
        shared |= {network.keys[key].tied for key in shared}
        wrong = [k for k in right if loaded.get(k) != right[k] and k not in shared]
        groups: dict[tuple[str, str], list[str]] = {}
        owners = {digest: key for key, digest in right.items()}
        for key in wrong:
            owner = owners.get(loaded.get(key))
            if owner and loaded[owner] == right[key]:
                mistake = "loaded in each other's place", "exchange them"
            elif owner:
                mistake = f"loaded with what belongs to {owner}", "load its own"
            else:
                mistake = _mistake(held[key], loaded.get(key))
            groups.setdefault(mistake, []).append(key)
        for (text, fix), keys in groups.items():
            if len(keys) == len(right) and fix == _LOST[1]:
                text = "not loaded, none of them: no key is the network's (a prefix, or renamed?)"
            causes.append(_of_keys(keys, network, f"{listed(keys)} {text}", f"{where}: {fix}"))
    return causes


LOADING = (r"\.T\b|transpose", r"set_state_dict|load_state_dict|set_value|\.copy_")
_LOST = (
    "not loaded: a random start, or another tensor, is in its place",
    "load it, and look at the missing and unexpected keys that loading returns",
)


def _mistake(array: np.ndarray, loaded: str | None) -> tuple[str, str]:
    """Return what a loaded tensor is in place of `array`, by its digest, and what to change."""
    if array.ndim == 2 and digest(array.T) == loaded:
        return "loaded as in the file, not transposed", "transpose it: `.T`"
    for name, rounded in relations.roundings(np.ascontiguousarray(array)).items():
        if digest(rounded.astype(array.dtype)) == loaded:
            return f"loaded rounded to {name}", "keep float32"
    for axis in range(array.ndim):
        if digest(np.flip(array, axis)) == loaded:
            return f"loaded with axis {axis} reversed", "load it as it is"
    for axes in itertools.permutations(range(array.ndim)):
        if digest(array.transpose(axes)) == loaded:
            return f"loaded with its axes in the order {list(axes)}", "load it as it is"
    return _LOST


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
