"""Settings of layers and functions that differ: in words, and what to set."""

from typing import Any

from portproof.core.comparison import Comparison
from portproof.core.findings import MOST, Cause
from portproof.networks import layer_types

LABELS = {"eps": "epsilon (eps)", "count_include_pad": "count_include_pad (not exclusive)"}


def of_layers(comparison: Comparison, torch: str, paddle: str) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two layers differ, torch's first."""
    left = comparison.networks["torch"].layers.get(torch)
    right = comparison.networks["paddle"].layers.get(paddle)
    if left is None or right is None:
        return {}
    return differing(dict.fromkeys(right[1]) | left[1], dict.fromkeys(left[1]) | right[1])


def differing(left: dict[str, Any], right: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that both have and that differ."""
    pairs = {name: (left[name], right[name]) for name in left if name in right}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def explained(side: str, kind: str, pairs: dict[str, tuple[Any, Any]]) -> tuple[str, str]:
    """Return in words how settings differ, and what to set on the side to mend."""
    words, change = [], []
    for name, (left, right) in pairs.items():
        label = "dropout mode" if name == "mode" and "Dropout" in kind else LABELS.get(name, name)
        words.append(f"{label} {left} in PyTorch, {right} in PaddlePaddle")
        if (kind, name) == ("LocalResponseNorm", "alpha"):
            words[-1] += " (both take the mean over size channels where the paper has the sum)"
        change.append(layer_types.spell(side, name, left if side == "paddle" else right))
    return "; ".join(words), f"set {', '.join(change)}"


def silent(comparison: Comparison, causes: list[Cause]) -> list[str]:
    """Name settings that differ without showing in a forward pass, such as BatchNorm's momentum."""
    known = {cause.where for cause in causes}
    notes = []
    for torch, paddle in comparison.match.layers.items():
        momenta = of_layers(comparison, torch, paddle).get("momentum")
        if momenta and torch not in known:
            text = f"{torch}: momentum (the share of the new value) {momenta[0]:g} in PyTorch, "
            notes.append(f"{text}{momenta[1]:g} in PaddlePaddle; it shows in training alone")
    return notes[:MOST]
