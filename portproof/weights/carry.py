"""Carrying weights from the names and layout of one network to those of another, bit for bit."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from portproof.networks import layer_types, matching
from portproof.networks.matching import Network
from portproof.system.errors import UserError
from portproof.system.frameworks import NAMES
from portproof.weights.tensors import Tensor, Tensors, WeightsFile


@dataclass(frozen=True)
class Row:
    """What happens to one tensor. A source of None is made anew; a target of None is left out."""

    source: str | None
    target: str | None
    shape: tuple[int, ...]
    action: str


def with_twins(source: Tensors, network: Network) -> Tensors:
    """Return `source` in its network's order, tied tensors under all names: it may hold one."""
    keys = network.keys
    held = {keys[name].tensor: source[name] for name in source if name in keys}
    twins = {name: held[key.tensor] for name, key in keys.items() if key.tensor in held}
    return twins | source


def plan(
    source: WeightsFile, source_net: Network, target_net: Network, pairs: dict[str, str]
) -> list[Row]:
    """Say for every tensor of source and target what happens to it.

    `pairs` are layers that are partners whatever their names, torch's first. Raises UserError at
    the first tensor that is missing, extra, misfitting or ambiguous.
    """
    check_source(source, source_net)
    partners, tied = _partners(source_net, target_net, pairs)
    rows = []
    for name in source.tensors:
        key, target = source_net.keys[name], target_net.keys.get(partners.get(name))
        if target is not None:
            action = "copied" if key.transposed == target.transposed else "transposed"
            rows.append(Row(name, target.key, target.shape, action))
        elif key.role == layer_types.COUNTER:
            rows.append(Row(name, None, key.shape, "left out: Paddle has no such counter"))
        else:
            rows.append(Row(name, None, key.shape, f"left out: tied to {tied[name]}"))
    return rows + _made_anew(rows, target_net)


def _partners(
    source_net: Network, target_net: Network, pairs: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the target's key of each source's key, and keys without one with their twins."""
    if source_net is target_net:
        return {key: key for key in source_net.keys}, {}
    networks = {network.framework: network for network in (source_net, target_net)}
    match = matching.match(networks["torch"], networks["paddle"], pairs)
    if match.troubles:
        first, *others = match.troubles
        more = f"; and {len(others)} more of this kind" if others else ""
        raise UserError(f"the two networks do not fit: {first}{more}")
    return match.keys_from(source_net.framework), match.tied


def _made_anew(rows: list[Row], target_net: Network) -> list[Row]:
    """Return rows for the target's tensors that no row fills: twins of others, and counters."""
    made = {target_net.keys[row.target].tensor: row for row in rows if row.target}
    targets = {row.target for row in rows}
    more = []
    for name in [name for name in target_net.keys if name not in targets]:
        twin = made.get(target_net.keys[name].tensor)
        if twin is None:
            more.append(Row(None, name, (), "set to 0"))  # a counter: `match` names all else
        else:
            more.append(replace(twin, target=name, action=f"{twin.action}, tied to {twin.target}"))
    return more


def check_source(source: WeightsFile, network: Network) -> None:
    """Raise UserError, naming the key, where the file is not that of the network."""
    keys, held = network.keys, source.tensors
    required = [name for name, key in keys.items() if key.role != layer_types.COUNTER]
    missing = [name for name in required if name not in held]
    extra = [name for name in held if name not in keys]
    for names, words in ((missing, "lacks"), (extra, "has, unknown to the network,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            hint = "name the network by --torch-model and --paddle-model"
            raise UserError(f"{source.path} {words} {names[0]}{more}; {hint}, or mend the file")
    for name, tensor in held.items():
        shape = keys[name].shape[::-1] if keys[name].transposed else keys[name].shape
        if tensor.shape != shape:
            raise UserError(
                f"{source.path}: {name} is {list(tensor.shape)} in the file and {list(shape)} in "
                "the network; give the network's arguments by --num-classes or --model-args"
            )


def check_tied(path: Path, held: Tensors, network: Network) -> None:
    """Raise UserError where the file (`held`) has unequal numbers for tensors that are tied."""
    first: dict[str, str] = {}
    for name, key in network.keys.items():
        other = first.setdefault(key.tensor, name) if name in held else name
        if other != name and not held[name].has_same_bits(held[other]):
            raise UserError(
                f"{path}: {other} and {name} are one tensor in {NAMES[network.framework]}'s "
                "network, and the file holds unequal numbers for them: another network's weights"
            )


def carry(rows: list[Row], source: Tensors, target: Network) -> Tensors:
    """Return views of the source's tensors with the target's names and layout, in its order."""
    made = {}
    for row in rows:
        tensor = source[row.source] if row.source else Tensor("I64", np.zeros((), np.int64))
        made[row.target] = tensor.transposed() if "transposed" in row.action else tensor
    return {name: made[name] for name in target.keys if name in made}


def check_values(source: Tensors) -> list[str]:
    """Return a warning for each tensor that holds NaN or infinity."""
    warnings = []
    for name, tensor in source.items():
        if count := tensor.count_not_finite():
            warnings.append(f"{name}: {count} of {tensor.array.size} values are NaN or infinite")
        tensor.release()
    return warnings


def check_space(weights: Tensors, folder: Path, copies: int) -> None:
    """Raise UserError where the disk of `folder` lacks room for the weights, so many times."""
    needed = copies * sum(tensor.array.nbytes for tensor in weights.values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder.parent}: {free >> 20} MB are free and {needed >> 20} MB needed to write "
            f"{copies} times the weights; free some, or name another folder"
        )


def check_written(target: Path, weights: Tensors, written: Tensors) -> None:
    """Raise UserError, naming the tensor, where what was read back is not what was written."""
    for name in sorted(weights.keys() | written.keys()):
        if name not in weights or name not in written:
            raise UserError(f"{target}: {name} was lost or gained in writing; nothing is kept")
        if not weights[name].has_same_bits(written[name]):
            raise UserError(f"{target}: {name} came back with other bits; nothing is kept")
        weights[name].release()
        written[name].release()
