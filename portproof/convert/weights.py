"""Weights of a converted project: .pth, .pt and .ckpt become .pdparams, as its code needs them.

The layers of the converted network say which tensors are to be turned, never their shapes:
paddle.compat.nn.Linear keeps torch's [out, in], paddle.nn.Linear does not, and of a square layer
the file would not show it. So the network is made, in both frameworks.
"""

import argparse
import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portproof.convert.rewrite_names import WEIGHTS
from portproof.convert.source import BY_HAND, DONE, Finding, Source
from portproof.convert.texts import python_files, read_text
from portproof.convert.trees import nodes
from portproof.core import weight_files
from portproof.core.transfer import Request, Transferred, transfer
from portproof.port import PORT
from portproof.system.atomic import link_or_copy
from portproof.system.errors import UserError
from portproof.weights.tensors import Tensors
from portproof.worker.client import Side, Sides, scratch


class NotConverted(UserError):
    """The network is in a file that the converter has not written."""


def convert(args: argparse.Namespace, target: Path) -> list[Finding]:
    """Convert --pretrained into the finished project `target`; say for each file what was done.

    Raises UserError where the one file that was named cannot be converted.
    """
    pretrained, source = args.pretrained.resolve(), args.source.resolve()
    base, files = pretrained.parent, [pretrained]
    if pretrained.is_dir():
        base = pretrained
        files = sorted(file for file in base.rglob("*") if file.suffix in WEIGHTS)
    if not files:
        raise UserError(f"--pretrained {args.pretrained} holds no {', '.join(WEIGHTS)}")
    if source in (base, *base.parents):
        base = source  # the project's own weights keep their places
    findings: list[Finding] = []
    for file in files:
        name = str(file.relative_to(base).with_suffix(".pdparams"))
        try:
            if any(name == finding.file for finding in findings):
                raise UserError(f"{name} is what another file of that name has become")
            done = convert_one(args, file, target.resolve(), target.resolve() / name)
        except UserError as error:
            if args.pretrained.is_file() and not isinstance(error, NotConverted):
                raise
            what = f"not converted: {str(error).rstrip('.')}"
            fix = "mend it, or name its network by --model, and convert it alone"
            original = str(file.relative_to(base))
            findings.append(Finding(original, 1, what, fix, BY_HAND, "weights"))
        else:
            turned = sum(row.action.startswith("transposed") for row in done.rows)
            what = f"{len(done.tensors)} tensors of {file.name}, {turned} of them turned"
            findings.append(Finding(name, 1, what, "read back, every bit", DONE, "weights"))
    return findings


def convert_one(args: argparse.Namespace, file: Path, project: Path, target: Path) -> Transferred:
    """Write one file; return what was transferred."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = args.source.resolve()
    with scratch(near=target.parent) as folder, inside(folder):
        folder = folder.resolve()
        staged = folder / f"{file.stem}.pth"  # by its ending it is torch's
        link_or_copy(file, staged)
        try:
            sides = sides_of(args, source, project, staged)
            return transfer(Request(sides, staged, target), folder)
        except UserError as error:
            raise type(error)(str(error).replace(str(staged), str(file))) from error


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in another folder: modules are looked for in the current one first."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def sides_of(args: argparse.Namespace, source: Path, project: Path, staged: Path) -> Sides:
    """Return the original and the converted network. Raises NotConverted where that is missing."""
    if (source / PORT).is_file() and not args.model:
        if not (project / PORT).is_file():
            raise NotConverted(f"{PORT}, which makes its network, is not there")
        return {"torch": Side("torch", source / PORT), "paddle": Side("paddle", project / PORT)}
    root = source if source.is_dir() else source.parent
    model = args.model or find_model(source, keys(staged))
    file = model.rpartition(":")[0].replace(".", "/")
    files = (f"{file}.py", f"{file}/__init__.py")
    if not file or not any((root / name).is_file() for name in files):
        raise UserError(f"--model {model}: is no MODULE:CALLABLE of {args.source}")
    if not any((project / name).is_file() for name in files):
        raise NotConverted(f"{file}.py, which has its network, is not there")
    network = {"name": model, "arguments": dict(args.model_args or {})}
    sides = {}
    for framework, folder in (("torch", root), ("paddle", project)):
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        sides[framework] = Side(framework, None, network, environment={"PYTHONPATH": path})
    return sides


def keys(file: Path) -> Tensors:
    """Return the tensors of a file of torch's, by name; beside it is room to work."""
    side = Side("torch", None, {"name": file.name, "arguments": {}})  # none is made of it
    return weight_files.read(file, {"torch": side}, file.parent / "keys").tensors


def find_model(project: Path, tensors: Tensors) -> str:
    """Return MODULE:CLASS of the network whose layers have the names of the file's tensors.

    A class has the layers that it assigns to self. Raises UserError where none or several fit.
    """
    heads = {name.partition(".")[0] for name in tensors}
    classes = []
    root = project if project.is_dir() else project.parent
    for path in python_files(project) if project.is_dir() else [project]:
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for node in nodes(Source(path.name, read_text(path)).tree, ast.ClassDef):
            stored = [n for n in nodes(node, ast.Attribute) if isinstance(n.ctx, ast.Store)]
            layers = {n.attr for n in stored if getattr(n.value, "id", None) == "self"}
            if node.bases and heads <= layers:
                classes.append(f"{module}:{node.name}")
    if len(classes) != 1:
        owners = f"several classes have ({', '.join(classes)})" if classes else "no class has"
        what = f"{owners} the layers {', '.join(sorted(heads)[:4])}"
        raise UserError(f"{what}; name the network by --model MODULE:CALLABLE")
    return classes[0]
