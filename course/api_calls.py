"""Every call of a framework that the trees and examples/ make, read from their own text.

    python -m course.api_calls            # the calls of both trees, with their places

A call counts by its full name where it begins at the framework (`nn.Conv2d` is torch.nn.Conv2d),
and by its class where it is a method (`Tensor.detach`), as far as the text tells. The page
docs/en/api-mapping.md has a row for each.
"""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from common.paths import ROOT
from portproof.system import errors
from portproof.system.command_line import Parser

FRAMEWORKS = {"torch": ("torch", "torchvision"), "paddle": ("paddle",)}
# Classes whose methods are looked for, the likelier first.
CLASSES = {
    "torch": (
        "torch.Tensor",
        "torch.nn.Module",
        "torch.nn.parallel.DistributedDataParallel",
        "torch.optim.Optimizer",
        "torch.optim.lr_scheduler.LRScheduler",
        "torch.amp.GradScaler",
    ),
    "paddle": (
        "paddle.Tensor",
        "paddle.nn.Layer",
        "paddle.DataParallel",
        "paddle.optimizer.Optimizer",
        "paddle.optimizer.lr.LRScheduler",
        "paddle.amp.GradScaler",
    ),
}
MODULE = {"torch": "Module", "paddle": "Layer"}
# What a variable is by the name that it has throughout the trees, where nothing else tells.
NAMED = {"optimizer": "Optimizer", "scheduler": "LRScheduler", "scaler": "GradScaler"}
NAMED |= dict.fromkeys(("model", "network", "layer", "self"), "Module")
NAMED |= dict.fromkeys(("loss", "logits", "images", "labels"), "Tensor")
PLAIN = (str, bytes, list, dict, set, tuple, Path, re.Match, type(open(__file__)))  # noqa: SIM115
Places = dict[str, list[str]]  # call -> FILE:LINE


def calls(framework: str) -> Places:
    """Return every call of its framework that a tree, or an example beside it, makes."""
    places = defaultdict(list)
    for folder, pattern in (
        (ROOT / f"AlexNet-{framework}", "**/*.py"),
        (ROOT, f"examples/*_{framework}.py"),
    ):
        for path in sorted(folder.glob(pattern)):
            for name, line in Reader(framework, ast.parse(path.read_text())).calls:
                places[name].append(f"{path.relative_to(folder)}:{line}")
    return dict(sorted(places.items()))


class Reader(ast.NodeVisitor):
    """Notes the framework's calls of one file as (name, line)."""

    def __init__(self, framework: str, module: ast.Module) -> None:
        self.framework = framework
        self.imported: dict[str, str] = {}
        self.calls: list[tuple[str, int]] = []
        self.others: set[str] = set()  # variables that hold what another library has returned
        self.defined: set[str] = set()
        for node in ast.walk(module):
            self.note_imports(node)
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.defined.add(node.name)
        self.visit(module)

    def note_imports(self, node: ast.AST) -> None:
        for alias in node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else ():
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            self.imported[alias.asname or name] = module + name

    def is_framework(self, name: str | None) -> bool:
        return bool(name) and name.split(".")[0] in FRAMEWORKS[self.framework]

    def full_name(self, node: ast.expr) -> str | None:
        """Return the dotted name of an expression that begins at an import; else None."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id)
        if isinstance(node, ast.Attribute):
            before = self.full_name(node.value)
            return before and f"{before}.{node.attr}"
        return None

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            if self.is_framework(self.full_name(base)):
                self.calls.append((self.full_name(base), base.lineno))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        target = node.targets[0]
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Call):
            name = self.full_name(node.value.func)
            if name and not self.is_framework(name) and target.id not in NAMED:
                self.others.add(target.id)

    def visit_Call(self, node: ast.Call) -> None:
        name = self.full_name(node.func)
        if self.is_framework(name):
            self.calls.append((name, node.lineno))
        elif name is None and isinstance(node.func, ast.Attribute):
            kind = self.type_of_method(node.func)
            if kind:
                self.calls.append((f"{kind}.{node.func.attr}", node.lineno))
        self.generic_visit(node)

    def type_of_method(self, method: ast.Attribute) -> str | None:
        """Return the framework's class of which this is a method; None where it is none's."""
        methods = methods_of(self.framework)
        receiver, name = method.value, method.attr
        if isinstance(receiver, ast.Name) and receiver.id in self.defined | self.others:
            return None  # a class or function of the file, or none of the framework's
        variable = getattr(receiver, "attr", getattr(receiver, "id", ""))  # of trainer.model: model
        kind = NAMED.get(variable, "")
        kind = MODULE[self.framework] if kind == "Module" else kind
        if kind and name in methods[kind]:
            return kind
        begin = receiver
        while isinstance(begin, (ast.Attribute, ast.Call, ast.Subscript)):
            begin = begin.func if isinstance(begin, ast.Call) else begin.value
        root = self.full_name(begin) if isinstance(begin, ast.Name) else None
        if isinstance(begin, ast.Constant) or (root and not self.is_framework(root)):
            return None
        if name in self.defined or any(hasattr(cls, name) for cls in PLAIN):
            return None
        return next((kind for kind in methods if name in methods[kind]), None)


@cache
def methods_of(framework: str) -> dict[str, set[str]]:
    """Return the names that the framework's classes have, asked of it in its own process."""
    program = f"import json, {framework}\n"
    program += f"print(json.dumps([dir(kind) for kind in ({', '.join(CLASSES[framework])})]))"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    lists = json.loads(printed.splitlines()[-1])
    kinds = [name.rpartition(".")[2] for name in CLASSES[framework]]
    return {kind: set(names) for kind, names in zip(kinds, lists, strict=True)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m course.api_calls", description=__doc__)
    parser.parse_args(argv)
    for framework in FRAMEWORKS:
        print(f"{framework}:")
        for name, places in calls(framework).items():
            print(f"  {name}  {', '.join(places)}")


if __name__ == "__main__":
    errors.run(main)
