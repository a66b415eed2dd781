"""What a network does by functions: which layer each call stands for, and with which settings."""

import re
from dataclasses import dataclass
from typing import Any

from portproof.networks.layer_types import canonical_settings, family
from portproof.networks.matching import Network, align, zip_or_part

# Arguments after the input, in order.
_BOTH = {
    "conv": "weight bias stride padding dilation groups",
    "linear": "weight bias",
    "adaptive_avg_pool": "output_size",
    "adaptive_max_pool": "output_size",
    "local_response_norm": "size alpha beta k",
}
_ARGUMENTS = {
    "torch": {
        **_BOTH,
        "avg_pool": "kernel_size stride padding ceil_mode count_include_pad",
        "max_pool": "kernel_size stride padding dilation ceil_mode",
        "batch_norm": "running_mean running_var weight bias training momentum eps",
        "instance_norm": "running_mean running_var weight bias use_input_stats momentum eps",
        "layer_norm": "normalized_shape weight bias eps",
        "group_norm": "num_groups weight bias eps",
    },
    "paddle": {
        **_BOTH,
        "avg_pool": "kernel_size stride padding ceil_mode exclusive",
        "max_pool": "kernel_size stride padding return_mask ceil_mode",
        "batch_norm": "running_mean running_var weight bias training momentum epsilon",
        "instance_norm": "running_mean running_var weight bias use_input_stats momentum eps",
        "layer_norm": "normalized_shape weight bias epsilon",
        "group_norm": "num_groups epsilon weight bias",
    },
}
_FALSE = dict.fromkeys(("ceil_mode", "training"), False)
_TRUE = dict.fromkeys(("count_include_pad", "exclusive"), True)
_NUMBERS = {"padding": 0, "dilation": 1, "groups": 1, "eps": 1e-5, "epsilon": 1e-5}
_RESPONSE = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
_DEFAULTS = _FALSE | _TRUE | _NUMBERS | _RESPONSE  # else None
_MOMENTUM = {"torch": 0.1, "paddle": 0.9}


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
    defaults = _DEFAULTS | {"momentum": _MOMENTUM[side], "stride": 1 if stem == "conv" else None}
    names = _ARGUMENTS[side][stem].split()
    named = {argument: defaults.get(argument) for argument in names}
    named |= dict(zip(names, call["given"], strict=False)) | call["options"]
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
        paired += zip_or_part(left[i], right[j], families[0] == families[1])
    return paired
