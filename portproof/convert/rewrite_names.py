"""Rules for places in a converted file: its head, what it names, and pairs of calls."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import Place, Places, Source
from portproof.convert.trees import call_of, has_keyword, is_docstring, is_method, nodes

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


def docstring(source: Source) -> Places:
    """Imports that stand before the module's docstring come behind it."""
    body = source.tree.body
    number = next((number for number, node in enumerate(body) if is_docstring(node)), 0)
    if number and all(map(_is_head, body[:number])):
        lines = [source.code(body[number]), "", *map(source.code, body[:number])]
        span = source.span(body[0])[0], source.span(body[number])[1]
        what = "imports stand before the docstring"
        yield Place(body[number], what, "moved behind it", "\n".join(lines), span)


def _is_head(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return isinstance(node, (ast.Import, ast.ImportFrom)) or is_call


def paths(source: Source) -> Places:
    """sys.path.append("/where/it/was/converted") holds on one machine alone."""
    for call in source.calls_of("sys.path.append"):
        folder = call.args[0] if len(call.args) == 1 else None
        if isinstance(folder, ast.Constant) and os.path.isabs(str(folder.value)):
            up = len(PurePosixPath(source.file).parts) - 1
            words = f'str(__import__("pathlib").Path(__file__).resolve().parents[{up}])'
            yield Place(folder, "a folder by name", "is told from the file's own place", words)


def lost_names(source: Source, imported: dict[str, str], known: set[str]) -> Places:
    """Names that PyTorch's import gave, and that the converter has left without their import."""
    bound = _bound_names(source.tree) | known | {"torch", "torchvision"}  # those: `left_names`
    for node in nodes(source.tree, ast.Name):
        full = imported.get(node.id, "")
        is_torch = full.partition(".")[0] in ("torch", "torchvision")
        if is_torch and node.id not in bound and isinstance(node.ctx, ast.Load):
            target = api_tables.RENAMES.get(full, full)
            yield Place(node, f"{node.id} has lost its import", f"is {target}", target)


def _bound_names(tree: ast.AST) -> set[str]:
    """Return every name that a file gives a meaning to, in whatever scope."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)
    names = {node.name for node in nodes(tree, *definitions)}
    names |= {node.arg for node in nodes(tree, ast.arg)}
    names |= {(node.asname or node.name).partition(".")[0] for node in nodes(tree, ast.alias)}
    return names | {node.id for node in nodes(tree, ast.Name) if not isinstance(node.ctx, ast.Load)}


def ranks(source: Source) -> Places:
    """The rank in the job is no rank on the machine, and a job is known before it is joined."""
    fix = "on several machines read PADDLE_RANK_IN_NODE where LOCAL_RANK was meant"
    for call in source.calls_of("paddle.distributed.get_rank"):
        if not call.args:
            yield Place(call, "paddle.distributed.get_rank()", fix)


def pairs(source: Source) -> Places:
    """(x.max(axis=1), x.argmax(axis=1)) has no .values and .indices, and computes x twice."""
    for node in nodes(source.tree, ast.Tuple):
        if len(node.elts) != 2 or not all(isinstance(call, ast.Call) for call in node.elts):
            continue
        first, second = node.elts
        kind = first.func.attr if is_method(first, "max", "min") else ""
        if not kind or not is_method(second, f"arg{kind}"):
            continue
        axis = first.args or [word.value for word in first.keywords if word.arg == "axis"]
        if axis and ast.dump(first.func.value) == ast.dump(second.func.value):
            target = f"paddle.compat.{kind}"
            words = f"{target}({source.code(first.func.value)}, {source.code(axis[0])})"
            yield Place(node, f"a pair of {kind} and arg{kind}", f"is {target}", words)


def extremes(source: Source) -> Places:
    """x.max(dim=1) gives a pair in PyTorch, and values alone in Paddle."""
    for call in source.calls("max", "min"):
        if source.is_of_module(call):
            continue
        is_pair = call.args and not call.keywords and _is_used_as_pair(call.parent)
        if is_pair or has_keyword(call, "dim"):
            words = ", ".join([source.code(call.func.value), *source.arguments_of(call)])
            kind, target = call.func.attr, f"paddle.compat.{call.func.attr}"
            fix = f"is {target}, values and indices"
            yield Place(call, f".{kind}() along an axis", fix, f"{target}({words})")


def _is_used_as_pair(user: ast.AST) -> bool:
    if isinstance(user, ast.Assign) and isinstance(user.targets[0], ast.Tuple):
        return len(user.targets[0].elts) == 2
    is_part = isinstance(user, ast.Attribute) and user.attr in ("values", "indices")
    return is_part or isinstance(user, ast.Subscript)


def kinds(source: Source) -> Places:
    """isinstance(x, paddle.ByteTensor) is false for every tensor."""
    for call in source.calls_of("isinstance"):
        if len(call.args) == 2:
            head, _, kind = source.full(call.args[1]).rpartition(".")
            if head in ("paddle", "torch") and kind in TENSOR_KINDS:
                what, dtype = f"isinstance of {kind} is always false", TENSOR_KINDS[kind]
                words = f"({source.code(call.args[0])}.dtype == paddle.{dtype})"
                yield Place(call, what, f"asks for {dtype}", words)


def endings(source: Source) -> Places:
    """Weights that the converted code writes and reads are Paddle's, and end in .pdparams."""
    for node in nodes(source.tree, ast.Constant):
        text = node.value
        if not isinstance(text, str) or is_docstring(node.parent) or re.search("://|[ \n]", text):
            continue
        for ending in (*WEIGHTS, ".pdiparams"):
            before, is_written, after = source.code(node).rpartition(ending)
            if text.endswith(ending) and is_written:
                words = f"{before}.pdparams{after}"
                yield Place(node, f"a file of weights, {ending}", "is .pdparams", words)


def schedule_state(source: Source) -> Places:
    """A schedule of Paddle's has set_state_dict, and no load_state_dict."""
    for call in source.calls("load_state_dict"):
        owner = source.code(call.func.value)
        if "sched" in owner.rpartition(".")[2].lower():
            what, words = f"{owner}.load_state_dict", f"{owner}.set_state_dict"
            yield Place(call.func, what, "is set_state_dict", words)


def base_rates(source: Source) -> Places:
    """A schedule begins at the optimizer's rate, not at what an earlier one makes of it."""
    what, fix = "a schedule that begins at get_lr()", "begins at the optimizer's rate"
    for call in source.calls():
        is_schedule = source.full(call.func).startswith("paddle.optimizer.lr.")
        for word in call.keywords if is_schedule else ():
            rate = word.value
            is_call = word.arg == "learning_rate" and isinstance(rate, ast.Call)
            if is_call and is_method(rate, "get_lr"):
                words = f"{HELPERS}.base_lr({source.code(rate.func.value)})"
                yield Place(rate, what, fix, words)


def initialization(source: Source) -> Places:
    """Layers that the project does not draw itself start as PyTorch draws them."""
    for node, full in source.chains("paddle"):
        if full in LAYERS and call_of(node):
            words = f"{HELPERS}.{LAYERS[full]}"
            yield Place(node, full, "starts from PyTorch's distribution", words)


def imports(source: Source) -> Places:
    """An import that stands there twice stands there once."""
    seen = set()
    for node in source.tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            text, (start, end) = source.code(node), source.span(node)
            if text in seen:
                yield Place(node, f"{text}, twice", "stands there once", "", (start, end + 1))
            seen.add(text)


def annotations(source: Source) -> Places:
    """`paddle.device | None` is an error as it is read: paddle.device is no class."""
    modules = {node.module for node in source.tree.body if isinstance(node, ast.ImportFrom)}
    for note in () if "__future__" in modules else notes(source.tree):
        ends = [end for union in nodes(note, ast.BinOp) for end in (union.left, union.right)]
        if any(source.full(end) == "paddle.device" for end in ends):
            what, fix = "paddle.device in a union", "annotations are not evaluated"
            start = source.start_for_imports()
            line = "from __future__ import annotations\n"
            yield Place(note, what, fix, line, (start, start))
            return


def notes(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the annotations of a file."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if isinstance(getattr(node, name, None), ast.expr):
                yield getattr(node, name)


def unpickled(source: Source) -> Places:
    """paddle.load runs what a file tells it to, which torch.load(weights_only=True) does not."""
    for call in source.calls_of("paddle.load"):
        yield Place(call, "paddle.load", "load only files that you trust: it unpickles them")


def downloads(source: Source) -> Places:
    """What is fetched is still a file of PyTorch's."""
    fix = "fetch the file, convert it by --pretrained, and load it by paddle.load"
    for call in source.calls():
        full = source.full(call.func)
        if full.startswith("paddle.hub.load"):
            yield Place(call, f"{full}() fetches a file of PyTorch's", fix)


def datasets(source: Source) -> Places:
    """Paddle's loader asks for its own base class."""
    for node in nodes(source.tree, ast.ClassDef):
        if not node.bases and not node.keywords and is_dataset(node):
            what, fix = f"{node.name} has no base class", "derives from paddle.io.Dataset"
            start = source.span(node)[0] + len(f"class {node.name}".encode())
            yield Place(node, what, fix, "(paddle.io.Dataset)", (start, start))


def is_dataset(node: ast.ClassDef) -> bool:
    """Say whether a class has the methods of a data set."""
    return {"__getitem__", "__len__"} <= methods(node).keys()


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}


def derived(source: Source) -> Places:
    """A class that derives from a schedule is given an optimizer, and Paddle's takes a rate."""
    words, helped = f"{HELPERS}.ReduceLROnPlateau", "is a helper, which takes the optimizer"
    fix = "its __init__ is given an optimizer: pass a rate to Paddle's, and attach it"
    for node in nodes(source.tree, ast.ClassDef):
        for base in node.bases:
            full = source.full(base)
            if full == "paddle.optimizer.lr.ReduceOnPlateau":
                yield Place(base, full, helped, words)
            elif full.startswith("paddle.optimizer.lr."):
                yield Place(node, full, fix)


def libraries(source: Source) -> Places:
    """paddle.vision's networks have weights and names of layers of their own."""
    fix = "carry torchvision's weights over by `portproof transfer` with both models named"
    for node, full in source.chains("paddle.vision.models"):
        yield Place(node, full, fix)


def set_rates(source: Source) -> Places:
    """set_lr beside a schedule is an error in Paddle."""
    fix = "write the rate before the schedule is made, or into the schedule's base_lr"
    if "set_lr_scheduler" in source.text or f"{HELPERS}.StepLR" in source.text:
        for call in source.calls("set_lr"):
            yield Place(call, "set_lr beside a schedule", fix)
