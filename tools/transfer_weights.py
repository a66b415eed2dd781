"""Carry weights from one framework to the other, every bit of them.

    python tools/transfer_weights.py alexnet.pth alexnet.pdparams
    python tools/transfer_weights.py resnet18.pth resnet18.pdparams \\
        --torch-model torchvision.models:resnet18 --paddle-model paddle.vision.models:resnet18

The endings say what is what: .pth and .pt are PyTorch's, .pdparams PaddlePaddle's, .safetensors is
neutral, in torch's names and layout. The target is written, read back and compared bit for bit
before it takes its name. Exit status: 0 done, 2 wrong usage or bad input.
"""

import argparse
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from common import errors, pickles, state
from common.command_line import Parser
from common.errors import UserError
from tools import kinds, matching, models, tensors
from tools.matching import Key, Network
from tools.probes import FRAMEWORKS, NAMES, Side, scratch
from tools.tensors import Tensor, Tensors

FRAMEWORK = {".pth": "torch", ".pt": "torch", ".pdparams": "paddle", ".safetensors": "neutral"}


@dataclass(frozen=True)
class Row:
    """What happens to one tensor. A source of None is made anew; a target of None is left out."""

    source: str | None
    target: str | None
    shape: tuple[int, ...]
    action: str


def main() -> int:
    args = parse()
    source_kind, target_kind = check_paths(args.source, args.target, args.force)
    sides = models.sides(args)
    try:
        with scratch(near=args.target.parent) as folder:
            source, networks = look(args, sides, source_kind, target_kind, folder)
            source_net, target_net = networks[_names(source_kind)], networks[_names(target_kind)]
            source = with_twins(source, source_net)
            rows = plan(args, source, source_net, target_net)
            result = carry(rows, source, target_net)
            check_tied(args.source, source, source_net)
            check_tied(args.source, result, target_net)
            warnings = check_values(source)
            write(result, args.target, target_kind, sides, folder / "write")
    except OSError as error:
        raise UserError(
            f"{args.target}: cannot be written ({error.strerror or error}); free some space, or "
            "name another folder"
        ) from error
    report(args, rows, result, warnings)
    return 0


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="transfer_weights.py",
        description=__doc__,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help=".pth .pt .pdparams")
    parser.add_argument("target", type=Path, metavar="TARGET", help="or .safetensors, any to any")
    parser.add_argument("--force", action="store_true", help="replace TARGET if it exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    models.add_arguments(parser)
    return parser.parse_args()


def check_paths(source: Path, target: Path, force: bool) -> tuple[str, str]:
    """Return what source and target are by their endings. Raises UserError."""
    for path in (source, target):
        if path.suffix not in FRAMEWORK:
            raise UserError(
                f"{path}: the ending says nothing; use {', '.join(FRAMEWORK)} for the framework"
            )
    if not os.path.isfile(source):
        raise UserError(f"{source}: no such file; give the file that holds the weights")
    if not os.access(source, os.R_OK):
        raise UserError(f"{source}: cannot be read; get the permission to, or copy it")
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder; name a file")
    if os.path.exists(target) and os.path.samefile(source, target):
        raise UserError(f"{source} and {target} are one file; name another target")
    if os.path.lexists(target) and not force:
        raise UserError(f"{target} exists; name another file, or replace it by --force")
    if not os.path.isdir(target.parent):
        raise UserError(f"{target.parent}: no such folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{target.parent}: cannot be written to; name a folder that can")
    return FRAMEWORK[source.suffix], FRAMEWORK[target.suffix]


def _names(kind: str) -> str:
    """Return whose names and layout a kind of file has."""
    return "torch" if kind == "neutral" else kind


def look(
    args: argparse.Namespace,
    sides: dict[str, Side],
    source_kind: str,
    target_kind: str,
    folder: Path,
) -> tuple[Tensors, dict[str, Network]]:
    """Return the source's tensors, and the networks that the names belong to by framework.

    One framework after the other, each in one process that does all it has to: together they would
    take too much memory.
    """
    needed = [name for name in FRAMEWORKS if name in map(_names, (source_kind, target_kind))]
    staged, source = args.source, None
    if source_kind == "torch":
        staged = folder / "torch" / "read.safetensors"  # as the first process leaves it
    else:
        source = read(args.source, source_kind, sides, folder / "read")
        if source_kind == "paddle":
            staged = folder / "read" / "read.safetensors"
    networks: dict[str, Network] = {}
    for framework in needed:
        request = {"describe": {"fitted_to": str(staged.resolve())}}
        if source_kind == framework == "torch":
            request["read"] = {"path": str(args.source.resolve())}
        if args.torch_model and len(needed) == 2:  # where names differ, the order is needed
            request["describe"] |= {
                "input_shape": args.input_shape or models.IMAGE_SHAPE,
                "dtype": args.input_dtype,
                "named_as": networks["torch"].names() if networks else [],
            }
        found = sides[framework].ask(folder / framework, **request)
        networks[framework] = Network.from_report(framework, found["describe"])
    return tensors.read(staged, args.source) if source is None else source, networks


def read(path: Path, kind: str, sides: dict[str, Side], folder: Path) -> Tensors:
    """Return the tensors of a weights file as they are in it, mapped from the disk.

    What is no .safetensors is written as one into `folder`, which is made. Raises UserError on a
    bad file.
    """
    if kind == "neutral":
        return tensors.read(path)
    staged = folder / "read.safetensors"
    if kind == "torch":
        sides["torch"].ask(folder, read={"path": str(path.resolve())})
    else:
        weights = state.only_tensors(path, state.model_entry(path, pickles.read(path)), np.ndarray)
        folder.mkdir(parents=True)
        tensors.write(staged, {name: _tensor(path, name, weights[name]) for name in weights})
    return tensors.read(staged, path)


def _tensor(path: Path, name: str, array: np.ndarray) -> Tensor:
    try:
        return tensors.from_array(array)
    except UserError as error:
        raise UserError(f"{path}: {name}: {error}") from error


def with_twins(source: Tensors, network: Network) -> Tensors:
    """Return `source` in the order of its network, tied tensors under all of their names.

    A file may hold them under one name only.
    """
    held = {network.keys[name].tensor: source[name] for name in source if name in network.keys}
    found = {
        name: source.get(name, held[key.tensor])
        for name, key in network.keys.items()
        if key.tensor in held
    }
    return found | source


def plan(
    args: argparse.Namespace, source: Tensors, source_net: Network, target_net: Network
) -> list[Row]:
    """Say for every tensor of source and target what happens to it.

    Raises UserError at the first tensor that is missing, extra, misfitting or ambiguous.
    """
    check_source(args.source, source, source_net)
    partners, tied = {key: key for key in source_net.keys}, {}
    if source_net is not target_net:
        torch, paddle = source_net, target_net
        if source_net.framework == "paddle":
            torch, paddle = paddle, torch
        match = matching.match(torch, paddle, dict(args.map or []))
        if match.troubles:
            more = len(match.troubles) - 1
            raise UserError(
                f"the two networks do not fit: {match.troubles[0]}"
                + (f"; and {more} more of this kind" if more else "")
            )
        partners, tied = match.keys, match.tied
        if source_net.framework == "paddle":
            partners = {paddle: torch for torch, paddle in partners.items()}
    rows = []
    for name in source:
        target = partners.get(name)
        if target is None:
            rows.append(_left_out(source_net.keys[name], tied))
        else:
            turned = source_net.keys[name].transposed != target_net.keys[target].transposed
            action = "transposed" if turned else "copied"
            rows.append(Row(name, target, target_net.keys[target].shape, action))
    made = {target_net.keys[row.target].tensor: row for row in rows if row.target}
    targets = {row.target for row in rows}
    for name, key in target_net.keys.items():
        if name in targets:
            continue
        if key.tensor in made:
            twin = made[key.tensor]
            rows.append(replace(twin, target=name, action=f"{twin.action}, tied to {twin.target}"))
        else:
            rows.append(Row(None, name, (), "set to 0"))  # a counter: `match` names all else
    return rows


def _left_out(key: Key, tied: dict[str, str]) -> Row:
    counter = key.role == kinds.COUNTER
    why = "Paddle has no such counter" if counter else f"tied to {tied[key.key]}"
    return Row(key.key, None, key.shape, f"left out: {why}")


def check_source(path: Path, source: Tensors, network: Network) -> None:
    """Raise UserError, naming the key, where the file is not that of the network."""
    optional = {key.key for key in network.keys.values() if key.role == kinds.COUNTER}
    missing = [name for name in network.keys if name not in source and name not in optional]
    extra = [name for name in source if name not in network.keys]
    for names, words in ((missing, "lacks"), (extra, "has, unknown to the network,")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            hint = "name the network by --torch-model and --paddle-model"
            raise UserError(f"{path} {words} {names[0]}{more}; {hint}, or mend the file")
    for name, tensor in source.items():
        key = network.keys[name]
        shape = key.shape[::-1] if key.transposed else key.shape
        if tensor.shape != shape:
            raise UserError(
                f"{path}: {name} is {list(tensor.shape)} in the file and {list(shape)} in the "
                "network; give the network's arguments by --num-classes or --model-args"
            )


def check_tied(path: Path, held: Tensors, network: Network) -> None:
    """Raise UserError where a network ties tensors for which the file holds unequal numbers.

    `held` are the file's tensors by the network's names, in its layout.
    """
    first: dict[str, str] = {}
    for name, key in network.keys.items():
        other = first.setdefault(key.tensor, name) if name in held else name
        if other != name and not held[name].has_same_bits(held[other]):
            raise UserError(
                f"{path}: {other} and {name} are one tensor in {NAMES[network.framework]}'s "
                "network, and the file holds unequal numbers for them: another network's weights"
            )


def carry(rows: list[Row], source: Tensors, target: Network) -> Tensors:
    """Return the tensors of the target, with its names and layout, in the order of its network.

    They are views of the source's.
    """
    made = {}
    for row in rows:
        if row.target is None:
            continue
        if row.source is None:
            made[row.target] = Tensor("I64", np.zeros((), np.int64))
        else:
            tensor = source[row.source]
            made[row.target] = tensor.transposed() if "transposed" in row.action else tensor
    return {name: made[name] for name in target.keys if name in made}


def check_values(source: Tensors) -> list[str]:
    """Return a warning for each tensor that holds NaN or infinity."""
    warnings = []
    for name, tensor in source.items():
        count = tensor.count_not_finite()
        tensor.release()
        if count:
            warnings.append(f"{name}: {count} of {tensor.array.size} values are NaN or infinite")
    return warnings


def write(result: Tensors, target: Path, kind: str, sides: dict[str, Side], folder: Path) -> None:
    """Write the target whole or not at all: it takes its name once every bit was read back.

    `folder`, which is made, lies on the target's disk. Raises UserError where the file does not
    hold what was given, OSError or UserError where the disk is full.
    """
    check_space(result, kind, folder.parent)
    folder.mkdir()
    made = folder / target.name
    if kind == "neutral":
        tensors.write(made, result)
        written = tensors.read(made)
    elif kind == "paddle":
        pickles.write(made, {name: tensor.array for name, tensor in result.items()})
        written = {name: tensors.from_array(array) for name, array in pickles.read(made).items()}
    else:
        tensors.write(folder / "result.safetensors", result)
        request = {"source": str(folder / "result.safetensors"), "path": str(made)}
        sides[kind].ask(folder / "torch", write=request)
        written = tensors.read(folder / "torch" / "read.safetensors")
    for name in sorted(set(result) | set(written)):
        if name not in result or name not in written:
            raise UserError(f"{target}: {name} was lost or gained in writing; nothing is kept")
        if not result[name].has_same_bits(written[name]):
            raise UserError(f"{target}: {name} came back with other bits; nothing is kept")
        result[name].release()
        written[name].release()
    with open(made, "rb") as file:
        os.fsync(file.fileno())
    os.replace(made, target)


def check_space(result: Tensors, kind: str, folder: Path) -> None:
    """Raise UserError where the disk lacks room for the target and what is written on the way."""
    copies = 3 if kind == "torch" else 1  # torch is given a file, and gives back what it reads
    needed = copies * sum(tensor.array.nbytes for tensor in result.values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder.parent}: {free >> 20} MB are free and {needed >> 20} MB needed to write "
            f"{copies} times the weights; free some, or name another folder"
        )


def report(args: argparse.Namespace, rows: list[Row], result: Tensors, warnings: list[str]) -> None:
    """Print the table and the totals, or the same as JSON."""
    totals = {
        "tensors": len(result),
        "elements": sum(tensor.array.size for tensor in result.values()),
        "bytes": sum(tensor.array.nbytes for tensor in result.values()),
        "transposed": sum(row.action.startswith("transposed") for row in rows),
        "left_out": sum(row.target is None for row in rows),
    }
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if args.json:
        found = {
            "source": str(args.source),
            "target": str(args.target),
            "rows": [asdict(row) for row in rows],
            "totals": totals,
            "warnings": warnings,
            "verified": True,
        }
        print(json.dumps(found, indent=2))
        return
    lines = [("source", "target", "shape", "")]
    lines += [
        (row.source or "-", row.target or "-", "x".join(map(str, row.shape)) or "1", row.action)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        print("  ".join([*cells, line[3]]).rstrip())
    print(
        f"done: {totals['tensors']} tensors, {totals['elements']:,} numbers, "
        f"{totals['transposed']} transposed, {totals['left_out']} left out; "
        f"{args.target} read back, every bit the same"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # scratch files go then, too
    errors.run(main)
