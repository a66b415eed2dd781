"""What is wrong with weights: in a file, between two networks, or in how a port loads them."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from portproof.core.comparison import Comparison
from portproof.core.findings import Cause, shorten
from portproof.diagnose import relations, source_lines
from portproof.files.state import digest, digests
from portproof.networks import layer_types
from portproof.networks.matching import Key, Match, Network, Networks
from portproof.system.frameworks import FRAMEWORKS, NAMES, OTHER
from portproof.weights.initial import native
from portproof.weights.tensors import WeightsFile


def listed(names: list[str]) -> str:
    """Return the first names, how many more there are, and the verb."""
    if len(names) == 1:
        return f"{names[0]} is"
    more = f", {names[1]}" + (f" and {len(names) - 2} more" if names[2:] else "")
    return f"{names[0]}{more} are"


def grouped(mistakes: dict[str, Any]) -> dict[Any, list[str]]:
    """Return the keys by their mistakes: the same mistake in many layers is one cause."""
    groups = defaultdict(list)
    for key, mistake in mistakes.items():
        groups[mistake].append(key)
    return groups


def unmatched(match: Match, networks: Networks) -> list[Cause]:
    """Name every tensor of either network that has no partner, or one of another shape."""
    ambiguous = [text for text in match.troubles if "mbiguous" in text]
    causes = [Cause("the networks", text, "see --map") for text in ambiguous]
    for side in FRAMEWORKS:
        partners, paired = match.layers_from(side), match.keys_from(side)
        for path, keys in networks[side].weighted().items():
            alone = [key for key in keys if key.key not in paired and not _is_free(key)]
            partner = partners.get(path)
            # From torch's side it may be a cause already.
            if alone and (side == "torch" or partner not in {cause.where for cause in causes}):
                theirs = networks[OTHER[side]].weighted().get(partner, [])
                causes.append(_alone(side, alone, theirs))
    return causes + _shared(match, networks)


def _is_free(key: Key) -> bool:
    return key.role == layer_types.COUNTER or key.tied is not None


def _of_keys(keys: list[str], network: Network, text: str, fix: str) -> Cause:
    """Return a mistake in the tensors of some layers as one cause."""
    layers = list(dict.fromkeys(network.keys[key].layer or key for key in keys))
    return Cause(layers[0], text, fix, also=layers[1:])


def _alone(side: str, keys: list[Key], theirs: list[Key]) -> Cause:
    """Tell of the tensors of one layer that have no partner, or one that does not fit, as one."""
    where, kind, other = keys[0].layer or "the network", keys[0].kind, NAMES[OTHER[side]]
    twins = {key.role: key for key in theirs}
    both = [(key, twins[key.role]) for key in keys if key.role in twins]
    odd = [twin if key.linear else key for key, twin in both if key.linear != twin.linear]
    if theirs and kind != theirs[0].kind and odd:
        cause = f"{odd[0].layer} is a {odd[0].kind} on one side, a Linear on the other: a Linear's "
        cause += "weight is kept transposed; of this one that is not known"
        fix = f"derive {odd[0].kind} from the framework's Linear, or use that"
    elif theirs and kind != theirs[0].kind:
        kinds = {side: kind, OTHER[side]: theirs[0].kind}
        cause = f"{kinds['torch']} in PyTorch, {kinds['paddle']} in PaddlePaddle: not the same "
        cause += "tensors"
        fix = f"make {where} of PaddlePaddle what corresponds to {kinds['torch']}"
    elif both:
        sizes = ((key.key, list(key.shape), twin.key, list(twin.shape)) for key, twin in both)
        words = "{} is {} in PyTorch, {} is {} in PaddlePaddle"
        cause = "; ".join(words.format(*size) for size in sizes)
        cause += " (both in torch's layout): another kernel, width or number of groups"
        fix = f"give {both[0][1].layer} of PaddlePaddle the sizes of PyTorch's {where}"
    elif theirs and [key.role for key in keys] == ["bias"]:
        lost, verb = ("lost", "remove") if side == "torch" else ("gained", "add")
        cause = f"the bias is {lost}: {keys[0].key} of {NAMES[side]} has no counterpart in {other}"
        fix = f"PaddlePaddle's {where}: {verb} bias_attr=False (PyTorch has bias={side == 'torch'})"
    else:
        tensors = ", ".join(f"{key.key} {list(key.shape)}" for key in keys)
        what = ", ".join(key.role for key in keys) if theirs else f"a {kind}"
        cause = f"{where} ({kind}) of {NAMES[side]}: {tensors} without counterpart in {other}"
        fix = f"add {what} to {other}, take it out of {NAMES[side]}, or pair it by --map "
        fix += "(what is kept in a plain list is no part of a network)"
    return Cause(where, cause, fix)


def _shared(match: Match, networks: Networks) -> list[Cause]:
    """Name the tensors that Paddle's network shares by itself: two of PyTorch's go into one."""
    causes = {}
    keys, partners = networks["torch"].keys, match.keys_from("paddle")
    for key in networks["paddle"].keys.values():
        second, first = (keys.get(partners.get(name)) for name in (key.key, key.tied))
        if key.layer not in causes and second and first and second.tensor != first.tensor:
            tensors = f"{key.key} and {key.tied}"
            cause = f"{tensors} are one tensor in PaddlePaddle, shared, and two in PyTorch"
            fix = f"give PaddlePaddle's {key.layer} weights of its own"
            causes[key.layer] = Cause(second.layer, cause, fix, also=[first.layer])
    return list(causes.values())


def file_misfits(file: WeightsFile, network: Network) -> list[Cause]:
    """Name what a file lacks, has too much, or has in another shape, against its own network."""
    side, path = NAMES[network.framework], file.path
    missing = [k for k in network.keys if k not in file.tensors and not _is_free(network.keys[k])]
    unknown = [k for k in file.tensors if k not in network.keys]
    if start := _other_start(missing, unknown):
        right, other = start
        cause = f"every key of {path.name} starts with {other!r}, which {side}'s network has not"
        fix = f"take {other!r} away from the keys"
        if right:
            cause = f"{path.name} has {other!r} at the start of keys, "
            cause += f"{side}'s network has {right!r}"
            fix = f"write {right!r} in its place"
        return [_of_keys(missing, network, cause, fix)]
    causes = []
    twins = {key: _renamed(network.keys[key], unknown) for key in missing}
    roles = {key: twin and network.keys[key].role for key, twin in twins.items()}
    for keys in grouped(roles).values():
        twin = twins[keys[0]]
        because = f"; the file has {twin} in its place: not renamed" if twin else ""
        fix = f"rename {twin} to {keys[0]}" if twin else f"put {keys[0]} into the file"
        cause = f"{listed(keys)} not in {path.name}{because}, so {side}'s layer keeps its start"
        fix += f", and {len(keys) - 1} more like it" if keys[1:] else ""
        causes.append(_of_keys(keys, network, cause, f"{fix}; check what loading returns"))
    if left := [key for key in unknown if key not in twins.values()]:
        cause = f"{listed(left)} in {path.name}, unknown to {side}'s network"
        causes.append(Cause(left[0], cause, "rename it, or take it out of the file"))
    for name, tensor in file.tensors.items():
        key = network.keys.get(name)
        expected = key and (key.shape[::-1] if key.transposed else key.shape)
        if key and tensor.shape != expected:
            causes.append(_other_shape(path, key, tensor.shape, expected))
    return causes


def _other_shape(path: Path, key: Key, shape: tuple, expected: tuple) -> Cause:
    """Return the cause where a tensor of a file has another shape than the network's."""
    cause = f"{key.key} is {list(shape)} in {path.name} and {list(expected)} in the network"
    fix = "mend it"
    if shape == expected[::-1] and len(shape) == 2:
        cause += f": the {key.kind} weight is not transposed"
        fix = TRANSPOSE
    elif sorted(shape) == sorted(expected):
        cause += ": its axes are in another order"
    cause += "; a framework that skips a misfit leaves the layer at its start"
    return Cause(key.layer, cause, fix)


def _other_start(missing: list[str], unknown: list[str]) -> tuple[str, str] | None:
    """Return how the missing keys start, and how they do in the file, if that is all they lack."""
    for key in unknown if missing else []:
        backwards = zip(reversed(missing[0]), reversed(key), strict=False)
        same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], backwards)))
        right, other = missing[0][: len(missing[0]) - same], key[: len(key) - same]
        tails = [name.removeprefix(right) for name in missing if name.startswith(right)]
        alike = len(tails) == len(missing) and all(other + tail in unknown for tail in tails)
        if same and alike and (len(missing) > 1 or not right):
            return right, other
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


def unequal(comparison: Comparison) -> list[Cause]:
    """Name the tensors of two files that should be the same and are not."""
    differ = {}
    partners, held, network = comparison.match.keys, comparison.held, comparison.networks["torch"]
    for key, partner in partners.items():
        left, right = held["torch"].get(key), held["paddle"].get(partner)
        # Else it is a cause already, as missing or misfitting.
        fits = left is not None and right is not None and left.shape == right.shape
        if fits and not np.array_equal(left, right, equal_nan=True):
            differ[key] = left, right
    mistakes = {key: _difference(key, differ, network) for key in differ}
    causes = []
    for (text, fix), keys in grouped(mistakes).items():
        pairs = [(key, partners[key]) for key in keys]
        names = [t if t == p else f"{p} (PyTorch's {t})" for t, p in pairs]
        largest = max(float(np.nanmax(np.abs(np.subtract(*differ[key])))) for key in keys)
        cause = f"{listed(names)} {text} in PaddlePaddle's file"
        cause += f": they differ by up to {largest:.3g}" if largest else ""
        causes.append(_of_keys(keys, network, cause, fix))
    return causes


def _difference(key: str, differ: dict, network: Network) -> tuple[str, str]:
    """Return what the second of two arrays of `key` is of the first, and what to change."""
    left, right = (array.astype(np.float64) for array in differ[key])
    anew = "carry the weights anew: portproof transfer"
    if left.ndim == 2 and np.array_equal(left, right.T, equal_nan=True):
        return "PyTorch's, not transposed,", TRANSPOSE.replace("(", f"({network.keys[key].kind}: ")
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
    order = relations.explain_order(left, right)
    return (f"PyTorch's, but {order}," if order else "not PyTorch's"), anew


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
        mistakes = _mistakes(native(network, comparison.held[side]), report["loaded"], network)
        for (text, fix), keys in grouped(mistakes).items():
            if len(keys) == len(comparison.held[side]) and fix == _LOST[1]:
                text = "not loaded, none of them: no key is the network's (a prefix, or renamed?)"
            causes.append(_of_keys(keys, network, f"{listed(keys)} {text}", f"{where}: {fix}"))
    return causes


def _mistakes(
    held: dict[str, np.ndarray], loaded: dict[str, str], network: Network
) -> dict[str, tuple[str, str]]:
    """Return, by key, what is wrong with a loaded tensor, by its digest, and what to change."""
    right = digests(held)
    shared = {key.key for key in network.keys.values() if key.tied}
    shared |= {network.keys[key].tied for key in shared}
    owners = {digest: key for key, digest in right.items()}
    mistakes = {}
    for key in right:
        if loaded.get(key) == right[key] or key in shared:
            continue
        owner = owners.get(loaded.get(key))
        if owner and loaded[owner] == right[key]:
            mistakes[key] = "loaded in each other's place", "exchange them"
        elif owner:
            mistakes[key] = f"loaded with what belongs to {owner}", "load its own"
        else:
            ways = _mistaken(held[key])
            known = (mistake for made, mistake in ways if digest(made) == loaded.get(key))
            mistakes[key] = next(known, _LOST)
    return mistakes


LOADING = (r"\.T\b|transpose", r"set_state_dict|load_state_dict|set_value|\.copy_")
TRANSPOSE = "transpose it (Paddle keeps [in, out], torch [out, in])"
_LOST = (
    "not loaded: a random start, or another tensor, is in its place",
    "load it, and look at the missing and unexpected keys that loading returns",
)


def _mistaken(array: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[str, str]]]:
    """Yield what loading may make of a tensor, with the mistake and what to change."""
    if array.ndim == 2:
        yield array.T, ("loaded as in the file, not transposed", "transpose it: `.T`")
    for name, rounded in relations.roundings(np.ascontiguousarray(array)).items():
        yield rounded.astype(array.dtype), (f"loaded rounded to {name}", "keep float32")
    as_it_is = "load it as it is"
    for axis in range(array.ndim):
        yield np.flip(array, axis), (f"loaded with axis {axis} reversed", as_it_is)
    for axes in itertools.permutations(range(array.ndim)):
        yield array.transpose(axes), (f"loaded with its axes in the order {list(axes)}", as_it_is)


def _load_error(error: str, where: str, network: Network) -> Cause:
    cause, fix = f"the weights cannot be loaded: {error}", f"mend {where}"
    name = max((key for key in network.keys if key in error), key=len, default=None)
    if name is None:
        return Cause("the weights", cause, fix)
    key = network.keys[name]
    shape = list(key.shape)
    if len(shape) == 2 and str(shape) in error and str(shape[::-1]) in error:
        cause += f"; the {key.kind} weight is not transposed"
        fix = f"{where}: {TRANSPOSE}"
    return Cause(key.layer, cause, fix)
