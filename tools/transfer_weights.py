"""Carry weights from one framework to the other, every bit of them.

    python tools/transfer_weights.py alexnet.pth alexnet.pdparams
    python tools/transfer_weights.py resnet18.pth resnet18.pdparams \\
        --torch-model torchvision.models:resnet18 --paddle-model paddle.vision.models:resnet18

The endings say what is what: .pth and .pt are PyTorch's, .pdparams PaddlePaddle's, .safetensors is
neutral, in torch's names and layout. The target is written, read back and compared bit for bit
before it takes its name.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from common import errors
from common.errors import UserError
from tools import kinds, matching, models, tensors
from tools.matching import Key, Network
from tools.probes import Side, ask_both, scratch
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
    with scratch() as folder:
        source = read(args.source, source_kind, sides, folder / "read")
        networks = describe(args, sides, source, source_kind, target_kind, folder)
        rows = plan(args, source, networks, source_kind, target_kind)
        result = carry(rows, source, networks[_names(target_kind)], target_kind)
        warnings = check_values(source)
        write(result, args.target, target_kind, sides, folder / "write")
    report(args, rows, result, warnings)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="transfer_weights.py", description="Carry weights between PyTorch and PaddlePaddle."
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
    if not source.is_file():
        raise UserError(f"{source}: no such file; give the file that holds the weights")
    if target.exists() and not force:
        raise UserError(f"{target} exists; name another file, or replace it by --force")
    if target.is_dir():
        raise UserError(f"{target} is a folder; name a file")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent}: no such folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{target.parent}: cannot be written to; name a folder that can")
    needed, free = source.stat().st_size, shutil.disk_usage(target.parent).free
    if free < needed:
        raise UserError(
            f"{target.parent}: {free >> 20} MB are free and {needed >> 20} MB needed; free some"
        )
    return FRAMEWORK[source.suffix], FRAMEWORK[target.suffix]


def _names(kind: str) -> str:
    """Return whose names and layout a kind of file has."""
    return "torch" if kind == "neutral" else kind


def read(path: Path, kind: str, sides: dict[str, Side], folder: Path) -> Tensors:
    """Return the tensors of a weights file as they are in it. Raises UserError on a bad file."""
    if kind == "neutral":
        return tensors.read(path)
    sides[kind].ask(folder, read={"path": str(path.resolve())})
    return tensors.read(folder / "read.safetensors")


def describe(
    args: argparse.Namespace,
    sides: dict[str, Side],
    source: Tensors,
    source_kind: str,
    target_kind: str,
    folder: Path,
) -> dict[str, Network]:
    """Return the networks that the names of source and target belong to, by framework."""
    request = {}
    if args.torch_model:  # the order of the layers is needed where names differ
        request = {
            "input_shape": args.input_shape or models.IMAGE_SHAPE,
            "dtype": args.input_dtype,
        }
    frameworks = sorted({_names(source_kind), _names(target_kind)})
    asked = [sides[framework] for framework in frameworks]
    if not args.torch_model and args.num_classes is None:
        asked = [_fitted(side, source) for side in asked]
    reports = ask_both(asked, folder, [{"describe": request}] * len(asked))
    return {
        side.framework: Network.from_report(side.framework, found["describe"])
        for side, found in zip(asked, reports, strict=True)
    }


def _fitted(side: Side, source: Tensors) -> Side:
    """Give AlexNet as many classes as the file has."""
    bias = source.get("classifier.6.bias")
    if bias is None or len(bias.shape) != 1:
        return side
    return replace(side, model={"arguments": {"num_classes": bias.shape[0]}})


def plan(
    args: argparse.Namespace,
    source: Tensors,
    networks: dict[str, Network],
    source_kind: str,
    target_kind: str,
) -> list[Row]:
    """Say for every tensor of source and target what happens to it.

    Raises UserError at the first tensor that is missing, extra, misfitting or ambiguous.
    """
    source_net, target_net = networks[_names(source_kind)], networks[_names(target_kind)]
    check_source(args.source, source, source_net)
    if source_net is target_net:
        partners, tied = {key: key for key in source_net.keys}, {}
    else:
        match = matching.match(networks["torch"], networks["paddle"], dict(args.map or []))
        if match.troubles:
            more = len(match.troubles) - 1
            raise UserError(
                f"the two networks do not fit: {match.troubles[0]}"
                + (f"; and {more} more of this kind" if more else "")
            )
        partners, tied = match.keys, match.tied
        if source_kind == "paddle":
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
    check_tied(args.source, rows, source, source_net, target_net)
    made = {row.target for row in rows}
    for name, key in target_net.keys.items():
        if name not in made and key.role == kinds.COUNTER:
            rows.append(Row(None, name, (), "set to 0"))
        elif name not in made and key.tied is not None:
            twin = next(row for row in rows if row.target == key.tied)
            rows.append(replace(twin, target=name, action=f"{twin.action}, tied to {key.tied}"))
    return rows


def _left_out(key: Key, tied: dict[str, str]) -> Row:
    why = "Paddle has no such counter" if key.role == kinds.COUNTER else f"tied to {key.tied}"
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


def check_tied(
    path: Path, rows: list[Row], source: Tensors, source_net: Network, target_net: Network
) -> None:
    """Raise UserError where one network ties two tensors that the file holds with other values."""
    going = {row.target: row.source for row in rows if row.target}
    pairs = [(key.key, key.tied) for key in source_net.keys.values() if key.tied]
    pairs += [
        (going[key.key], going[key.tied])
        for key in target_net.keys.values()
        if key.tied and key.key in going and key.tied in going
    ]
    for name, first in pairs:
        if name in source and first in source and not source[name].has_same_bits(source[first]):
            raise UserError(
                f"{path}: {name} and {first} are one tensor in the network and two in the file; "
                "it holds another network's weights"
            )


def carry(rows: list[Row], source: Tensors, target: Network, target_kind: str) -> Tensors:
    """Return the tensors of the target, with its names and layout, in the order of its network."""
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
    counts = {name: tensor.count_not_finite() for name, tensor in source.items()}
    return [
        f"{name}: {count} of {source[name].array.size} values are NaN or infinite"
        for name, count in counts.items()
        if count
    ]


def write(result: Tensors, target: Path, kind: str, sides: dict[str, Side], folder: Path) -> None:
    """Write the target whole or not at all: it takes its name once every bit was read back.

    Raises UserError where the disk is full or the file does not hold what was given.
    """
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        if kind == "neutral":
            tensors.write(partial, result)
            written = tensors.read(partial)
        else:
            folder.mkdir()
            tensors.write(folder / "result.safetensors", result)
            request = {
                "source": str(folder / "result.safetensors"),
                "path": str(partial.resolve()),
            }
            sides[kind].ask(folder / "probe", write=request)
            written = tensors.read(folder / "probe" / "read.safetensors")
        for name in sorted(set(result) | set(written)):
            if name not in result or name not in written:
                raise UserError(f"{target}: {name} was lost or gained in writing; nothing is kept")
            if not result[name].has_same_bits(written[name]):
                raise UserError(f"{target}: {name} came back with other bits; nothing is kept")
        os.replace(partial, target)
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error.strerror or error}); free some disk space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


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
    errors.run(main)
