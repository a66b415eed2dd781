"""Rewrites of places in a converted file: its head, what it names, and pairs of calls."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import (
    DONE,
    LOOK,
    Finding,
    Source,
    bound_names,
    docstrings,
    is_docstring,
    is_method,
    nodes,
    parents,
)

WEIGHTS = (".pth", ".pt", ".ckpt")
TENSOR_KINDS = {
    "ByteTensor": "uint8",
    "CharTensor": "int8",
    "IntTensor": "int32",
    "LongTensor": "int64",
    "HalfTensor": "float16",
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "BoolTensor": "bool",
}
LAYERS = {f"paddle.nn.Conv{axes}d": f"Conv{axes}d" for axes in "123"}
LAYERS |= {"paddle.compat.nn.Linear": "Linear"}


def docstring(source: Source) -> Iterator[Finding]:
    """Imports that stand before the module's docstring come behind it."""
    body = source.tree.body
    number = next((number for number, node in enumerate(body) if is_docstring(node)), 0)
    if not number or not all(_is_head(node) for node in body[:number]):
        return
    text = body[number]
    head = "\n".join(source.code(node) for node in body[:number])
    if source.put(source.span(body[0])[0], source.span(text)[1], f"{source.code(text)}\n\n{head}"):
        what = "imports stand before the docstring"
        yield source.finding(text, what, "moved behind it", "docstring", DONE)


def _is_head(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return isinstance(node, (ast.Import, ast.ImportFrom)) or is_call


def paths(source: Source) -> Iterator[Finding]:
    """sys.path.append("/where/it/was/converted") holds on one machine alone."""
    for call in source.calls_of("sys.path.append"):
        folder = call.args[0] if len(call.args) == 1 else None
        if isinstance(folder, ast.Constant) and os.path.isabs(str(folder.value)):
            up = len(PurePosixPath(source.file).parts) - 1
            words = f'str(__import__("pathlib").Path(__file__).resolve().parents[{up}])'
            what, fix = "a folder by name", "is told from the file's own place"
            yield from source.exchange(folder, words, what, fix, "paths")


def lost_names(source: Source, original: Source | None, known: set[str]) -> Iterator[Finding]:
    """Names that PyTorch's import gave, and that the converter has left without their import."""
    if original is None:
        return
    bound = bound_names(source.tree) | known | {"torch", "torchvision"}  # those: `left_names`
    for node in nodes(source.tree, ast.Name):
        full = original.imported.get(node.id, "")
        is_torch = full.partition(".")[0] in ("torch", "torchvision")
        if is_torch and node.id not in bound and isinstance(node.ctx, ast.Load):
            target, what = api_tables.RENAMES.get(full, full), f"{node.id} has lost its import"
            yield from source.exchange(node, target, what, f"is {target}", "lost names")


def ranks(source: Source) -> Iterator[Finding]:
    """The rank in the job is no rank on the machine, and a job is known before it is joined."""
    for call in source.calls_of("paddle.distributed.get_rank"):
        if not call.args:
            fix = "on several machines read PADDLE_RANK_IN_NODE where LOCAL_RANK was meant"
            yield source.finding(call, "paddle.distributed.get_rank()", fix, "ranks", LOOK)


def pairs(source: Source) -> Iterator[Finding]:
    """(x.max(axis=1), x.argmax(axis=1)) has no .values and .indices, and computes x twice."""
    for node in nodes(source.tree, ast.Tuple):
        if len(node.elts) != 2 or not all(isinstance(call, ast.Call) for call in node.elts):
            continue
        first, second = node.elts
        kind = first.func.attr if is_method(first, "max", "min") else None
        if kind is None or not is_method(second, f"arg{kind}"):
            continue
        axis = first.args or [word.value for word in first.keywords if word.arg == "axis"]
        if axis and ast.dump(first.func.value) == ast.dump(second.func.value):
            target, what = f"paddle.compat.{kind}", f"a pair of {kind} and arg{kind}"
            words = f"{target}({source.code(first.func.value)}, {source.code(axis[0])})"
            yield from source.exchange(node, words, what, f"is {target}", "pairs")


def extremes(source: Source) -> Iterator[Finding]:
    """x.max(dim=1) gives a pair in PyTorch, and values alone in Paddle."""
    up = parents(source.tree)
    for call in source.calls("max", "min"):
        if source.is_of_module(call):
            continue
        has_dim = any(word.arg == "dim" for word in call.keywords)
        user = up.get(id(call))
        is_pair = isinstance(user, ast.Subscript) or (
            isinstance(user, ast.Attribute) and user.attr in ("values", "indices")
        )
        if isinstance(user, ast.Assign) and isinstance(user.targets[0], ast.Tuple):
            is_pair = len(user.targets[0].elts) == 2
        if has_dim or (is_pair and call.args and not call.keywords):
            words = ", ".join([source.code(call.func.value), *source.arguments_of(call)])
            target, what = f"paddle.compat.{call.func.attr}", f".{call.func.attr}() along an axis"
            fix = f"is {target}, values and indices"
            yield from source.exchange(call, f"{target}({words})", what, fix, "pairs")


def kinds(source: Source) -> Iterator[Finding]:
    """isinstance(x, paddle.ByteTensor) is false for every tensor."""
    for call in source.calls_of("isinstance"):
        if len(call.args) != 2:
            continue
        head, _, kind = source.full(call.args[1]).rpartition(".")
        if head in ("paddle", "torch") and kind in TENSOR_KINDS:
            dtype, what = TENSOR_KINDS[kind], f"isinstance of {kind} is always false"
            words = f"({source.code(call.args[0])}.dtype == paddle.{dtype})"
            yield from source.exchange(call, words, what, f"asks for {dtype}", "kinds")


def endings(source: Source) -> Iterator[Finding]:
    """Weights that the converted code writes and reads are Paddle's, and end in .pdparams."""
    prose = docstrings(source.tree)
    for node in nodes(source.tree, ast.Constant):
        text = node.value
        if not isinstance(text, str) or id(node) in prose or re.search("://|[ \n]", text):
            continue
        for ending in (*WEIGHTS, ".pdiparams"):
            before, is_written, after = source.code(node).rpartition(ending)
            if text.endswith(ending) and is_written:
                words, what = f"{before}.pdparams{after}", f"a file of weights, {ending}"
                yield from source.exchange(node, words, what, "is .pdparams", "endings")


def schedule_state(source: Source) -> Iterator[Finding]:
    """A schedule of Paddle's has set_state_dict, and no load_state_dict."""
    for call in source.calls("load_state_dict"):
        owner = source.code(call.func.value)
        if "sched" in owner.rpartition(".")[2].lower():
            words, what = f"{owner}.set_state_dict", f"{owner}.load_state_dict"
            yield from source.exchange(call.func, words, what, "is set_state_dict", "schedule")


def base_rates(source: Source) -> Iterator[Finding]:
    """A schedule begins at the optimizer's rate, not at what an earlier one makes of it."""
    for call in source.calls():
        if not source.full(call.func).startswith("paddle.optimizer.lr."):
            continue
        for word in call.keywords:
            rate = word.value
            is_call = word.arg == "learning_rate" and isinstance(rate, ast.Call)
            if is_call and is_method(rate, "get_lr"):
                words = f"{HELPERS}.base_lr({source.code(rate.func.value)})"
                what, fix = "a schedule that begins at get_lr()", "begins at the optimizer's rate"
                yield from source.exchange(rate, words, what, fix, "schedule")


def initialization(source: Source) -> Iterator[Finding]:
    """Layers that the project does not draw itself start as PyTorch draws them."""
    called = {id(call.func) for call in source.calls()}
    for node, full in source.chains("paddle"):
        if full in LAYERS and id(node) in called:
            words, fix = f"{HELPERS}.{LAYERS[full]}", "starts from PyTorch's distribution"
            yield from source.exchange(node, words, full, fix, "initialization")


def imports(source: Source) -> Iterator[Finding]:
    """An import that stands there twice stands there once."""
    seen = set()
    for node in source.tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            text = source.code(node)
            start, end = source.span(node)
            if text in seen and source.put(start, end + 1, ""):
                yield source.finding(node, f"{text}, twice", "stands there once", "imports", DONE)
            seen.add(text)


def annotations(source: Source) -> Iterator[Finding]:
    """`paddle.device | None` is an error as it is read: paddle.device is no class."""
    modules = {node.module for node in source.tree.body if isinstance(node, ast.ImportFrom)}
    for note in () if "__future__" in modules else notes(source.tree):
        ends = [end for union in nodes(note, ast.BinOp) for end in (union.left, union.right)]
        if any(source.full(end) == "paddle.device" for end in ends):
            line = source.first_line_for_imports()
            source.insert_line(line, "from __future__ import annotations")
            what, fix = "paddle.device in a union", "annotations are not evaluated"
            yield source.finding(note, what, fix, "annotations", DONE)
            return


def notes(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the annotations of a file."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if isinstance(getattr(node, name, None), ast.expr):
                yield getattr(node, name)


def unpickled(source: Source) -> Iterator[Finding]:
    """paddle.load runs what a file tells it to, which torch.load(weights_only=True) does not."""
    for call in source.calls_of("paddle.load"):
        fix = "load only files that you trust: it unpickles them"
        yield source.finding(call, "paddle.load", fix, "files", LOOK)


def downloads(source: Source) -> Iterator[Finding]:
    """What is fetched is still a file of PyTorch's."""
    fix = "fetch the file, convert it by --pretrained, and load it by paddle.load"
    for call in source.calls():
        full = source.full(call.func)
        if full.startswith("paddle.hub.load"):
            yield source.finding(call, f"{full}() fetches a file of PyTorch's", fix, "downloads")


def datasets(source: Source) -> Iterator[Finding]:
    """Paddle's loader asks for its own base class."""
    for node in nodes(source.tree, ast.ClassDef):
        if not node.bases and not node.keywords and is_dataset(node):
            start = source.span(node)[0] + len("class ") + len(node.name.encode())
            if source.put(start, start, "(paddle.io.Dataset)"):
                what, fix = f"{node.name} has no base class", "derives from paddle.io.Dataset"
                yield source.finding(node, what, fix, "datasets", DONE)


def is_dataset(node: ast.ClassDef) -> bool:
    """Say whether a class has the methods of a data set."""
    return {"__getitem__", "__len__"} <= methods(node).keys()


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}


def derived(source: Source) -> Iterator[Finding]:
    """A class that derives from a schedule is given an optimizer, and Paddle's takes a rate."""
    for node in nodes(source.tree, ast.ClassDef):
        for base in node.bases:
            full = source.full(base)
            if full == "paddle.optimizer.lr.ReduceOnPlateau":
                source.replace(base, f"{HELPERS}.ReduceLROnPlateau")
                fix = "is a helper, which takes the optimizer"
                yield source.finding(node, full, fix, "derived", DONE)
            elif full.startswith("paddle.optimizer.lr."):
                fix = "its __init__ is given an optimizer: pass a rate to Paddle's, and attach it"
                yield source.finding(node, full, fix, "derived")


def libraries(source: Source) -> Iterator[Finding]:
    """paddle.vision's networks have weights and names of layers of their own."""
    fix = "carry torchvision's weights over by `portproof transfer` with both models named"
    for node, full in source.chains("paddle.vision.models"):
        yield source.finding(node, full, fix, "libraries", LOOK)


def set_rates(source: Source) -> Iterator[Finding]:
    """set_lr beside a schedule is an error in Paddle."""
    if "set_lr_scheduler" not in source.text and f"{HELPERS}.StepLR" not in source.text:
        return
    for call in source.calls("set_lr"):
        fix = "write the rate before the schedule is made, or into the schedule's base_lr"
        yield source.finding(call, "set_lr beside a schedule", fix, "rates")
