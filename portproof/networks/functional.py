"""What a network does by functions: which layer each call stands for, and with which settings."""

import re
from dataclasses import dataclass
from typing import Any

from portproof.networks.layer_types import canonical_settings, family
from portproof.networks.matching import Network, align

# Arguments after the input, in order, with their defaults.
_CONV = {"weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_AVG_POOL = {"kernel_size": None, "stride": None, "padding": 0, "ceil_mode": False}
_MAX_POOL = {"kernel_size": None, "stride": None, "padding": 0}
_WEIGHTS = {"weight": None, "bias": None}
_STATISTICS = {"running_mean": None, "running_var": None, **_WEIGHTS}
_SHAPE = {"normalized_shape": None, **_WEIGHTS}
_BOTH = {
    "conv": _CONV,
    "linear": _WEIGHTS,
    "adaptive_avg_pool": {"output_size": None},
    "adaptive_max_pool": {"output_size": None},
    "local_response_norm": {"size": None, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
}
_ARGUMENTS = {
    "torch": {
        **_BOTH,
        "avg_pool": _AVG_POOL | {"count_include_pad": True},
        "max_pool": _MAX_POOL | {"dilation": 1, "ceil_mode": False},
        "batch_norm": _STATISTICS | {"training": False, "momentum": 0.1, "eps": 1e-5},
        "instance_norm": _STATISTICS | {"use_input_stats": True, "momentum": 0.1, "eps": 1e-5},
        "layer_norm": _SHAPE | {"eps": 1e-5},
        "group_norm": {"num_groups": None, **_WEIGHTS, "eps": 1e-5},
    },
    "paddle": {
        **_BOTH,
        "avg_pool": _AVG_POOL | {"exclusive": True},
        "max_pool": _MAX_POOL | {"return_mask": False, "ceil_mode": False},
        "batch_norm": _STATISTICS | {"training": False, "momentum": 0.9, "epsilon": 1e-5},
        "instance_norm": _STATISTICS | {"use_input_stats": True, "momentum": 0.9, "eps": 1e-5},
        "layer_norm": _SHAPE | {"epsilon": 1e-5},
        "group_norm": {"num_groups": None, "epsilon": 1e-5, **_WEIGHTS},
    },
}


Lines = dict[str, str | None]  # by a layer's path: FILE:LINE where it is made


@dataclass(frozen=True)
class Step:
    """A layer's call or a function's, as far as its settings decide what it gives."""

    kind: str  # torch's name of the layer
    settings: dict[str, Any]
    text: str  # what to call it
    path: str | None  # of a layer
    line: str | None


def _one_name(kind: str) -> str:
    """Return the kind, one for any number of axes where the function is one for all."""
    return re.sub(r"^((Batch|Instance)Norm)(\dd)?$", r"\g<1>2d", kind)


def of_call(side: str, call: dict[str, Any]) -> Step:
    """Return what a recorded call of a function does."""
    name = call["function"]
    stem, axes = re.fullmatch(r"(.*?)(\dd)?", name).groups()
    named = dict(_ARGUMENTS[side][stem])
    named |= dict(zip(named, call["given"], strict=False)) | call["options"]
    kind = _one_name("".join(word.capitalize() for word in stem.split("_")) + (axes or ""))
    weight = named.get("weight") or {}
    if axes and "shape" in weight:
        named["kernel_size"] = weight["shape"][2:]
    settings = canonical_settings(side, kind, named)
    if "weight" in named:
        settings["bias"] = "given" if named["bias"] else None
    if "training" in named:
        settings["training"] = named["training"]
    return Step(kind, settings, f"F.{name}", None, call["line"])


def of_layer(network: Network, lines: Lines, calls: list[dict[str, Any]], number: int) -> Step:
    """Return what a recorded call of a layer does, the one of this number in `calls`."""
    call, path = calls[number], calls[number]["layer"]
    kind, settings = network.layers.get(path, (call["kind"], {}))
    roles = {key.role for key in network.weighted().get(path, [])}
    settings = dict(settings)
    if roles:
        settings["bias"] = "given" if "bias" in roles else None
    if kind.startswith("BatchNorm"):
        settings["training"] = call["training"]
    text, line = f"{path} ({call['kind']})", lines.get(path)
    if any(earlier["layer"] == path for earlier in calls[:number]):
        text, line = f"{text} again", call["line"]
    return Step(_one_name(kind), settings, text, path, line)


def within(network: Network, lines: Lines, run: dict, before: int, after: int) -> list[Step]:
    """Return what one side does between two calls, in order: functions, layers without partner.

    `run` is the record of a pass, `before` and `after` are positions in its calls.
    """
    steps = []
    for number in range(before + 1, after + 1):
        functions = [call for call in run["functions"] if call["calls"] == number]
        steps += [of_call(network.framework, call) for call in functions]
        if number < after:
            steps.append(of_layer(network, lines, run["calls"], number))
    return steps


def pairs(left: list[Step], right: list[Step]) -> list[tuple[Step | None, Step | None]]:
    """Pair the steps of two sides by their kinds; a step without partner is beside None."""
    paired: list[tuple[Step | None, Step | None]] = []
    for i, j, _ in align([step.kind for step in left], [step.kind for step in right]):
        families = [[family(step.kind) for step in steps] for steps in (left[i], right[j])]
        if families[0] == families[1]:
            paired += zip(left[i], right[j], strict=True)
        else:
            paired += [(step, None) for step in left[i]]
            paired += [(None, step) for step in right[j]]
    return paired
