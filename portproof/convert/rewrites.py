"""Rewrites of single calls, on PyTorch's code and on what a converter made of it.

Each takes a Source, notes edits in the source, and yields a Finding for each place.
"""

import ast
import re
from collections.abc import Callable, Iterator

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import DONE, Finding, Source, arguments, is_false, nodes, parents

Rewrite = Callable[[Source], Iterator[Finding]]
IN_PLACE = ("add_", "sub_", "mul_", "div_")


def renames(source: Source, only: set[str] | None = None) -> Iterator[Finding]:
    """Exchange names of PyTorch that Paddle has under another name, `only` these where given."""
    for node, full in source.chains("torch", "torchvision", "paddle"):
        yield from _rename(source, node, full, only)


def _rename(source: Source, node: ast.AST, full: str, only: set[str] | None) -> Iterator[Finding]:
    """Exchange a name; of torch.distributed.ReduceOp.MAX the beginning is enough."""
    whole = full
    while isinstance(node, ast.Attribute) and full not in api_tables.RENAMES:
        full, node = full.rpartition(".")[0], node.value
    if full in api_tables.RENAMES and (only is None or full in only or whole in only):
        words = api_tables.RENAMES[full]
        target = words + whole.removeprefix(full)
        yield from source.exchange(node, words, whole, f"is {target}", "names")


def sgd(source: Source) -> Iterator[Finding]:
    """torch.optim.SGD is Momentum where it has one, with Paddle's names for its arguments."""
    for node, full in source.chains(*api_tables.SGDS):
        call = source.call_of(node)
        if call is None:  # in an annotation, say
            words = "paddle.optimizer.Momentum"
            yield from source.exchange(node, words, full, "is Momentum", "optimizer")
            continue
        values = arguments(call, api_tables.SGD.split())
        trouble = _sgd_trouble(values)
        if trouble:
            fix = "write it by hand with paddle.optimizer.Momentum"
            yield source.finding(node, f"SGD {trouble}", fix, "optimizer")
            continue
        kind, names = "paddle.optimizer.SGD", api_tables.SGD_NAMES
        if "momentum" in values and not is_false(values["momentum"]):
            kind, names = "paddle.optimizer.Momentum", names | api_tables.MOMENTUM_NAMES
        codes = {"lr": "0.001", "weight_decay": "0.0"}
        codes |= {name: source.code(value) for name, value in values.items()}
        words = ", ".join(f"{names[name]}={codes[name]}" for name in names if name in codes)
        what = full + (" with momentum" if "momentum" in names else "")
        yield from source.exchange(call, f"{kind}({words})", what, f"is {kind}", "optimizer")


def _sgd_trouble(values: dict[str, ast.expr] | None) -> str | None:
    if values is None or "params" not in values:
        return "takes its arguments from a list or dict"
    for name in ("dampening", "maximize"):
        if name in values and not is_false(values[name]):
            return f"has {name}, which Paddle's has not"
    if isinstance(values["params"], (ast.List, ast.ListComp)):
        return "has groups, whose learning_rate multiplies the optimizer's in Paddle"
    return None


def scaler(source: Source) -> Iterator[Finding]:
    """The scaler of losses in half precision has other names for its arguments."""
    target = "paddle.amp.GradScaler"
    for node, full in source.chains(*api_tables.SCALERS):
        call, words = source.call_of(node), target
        if call is not None:
            names = api_tables.SCALER
            values = arguments(call, list(names)[full.startswith("torch.cuda") :])
            if values is None or not values.keys() <= names.keys():
                yield source.finding(node, full, f"write it by hand with {target}", "scaler")
                continue
            codes = {names[name]: source.code(value) for name, value in values.items()}
            written = ", ".join(f"{name}={code}" for name, code in codes.items() if name)
            words = f"{target}({written})"
        yield from source.exchange(call or node, words, full, f"is {target}", "scaler")


def param_groups(source: Source) -> Iterator[Finding]:
    """optimizer.param_groups[0]["lr"] is read by get_lr() and written by set_lr()."""
    up, rule = parents(source.tree), "optimizer"
    for node in nodes(source.tree, ast.Attribute):
        if node.attr != "param_groups":
            continue
        group = up.get(id(node))
        if isinstance(group, ast.For) and group.iter is node:
            words = _rate_of_all(source, group)
            if words and source.replace(group, words):
                what = 'group["lr"] of each of param_groups'
                yield source.finding(node, what, "is set_lr()", rule, DONE)
                continue
        rate = up.get(id(group))
        whole = up.get(id(rate))
        optimizer = source.code(node.value)
        first_rate = f"{ast.unparse(node)}[0]['lr']"
        if not (isinstance(rate, ast.Subscript) and ast.unparse(rate) == first_rate):
            fix = f"read the rate by {optimizer}.get_lr(), write it by {optimizer}.set_lr(rate)"
            yield source.finding(node, "param_groups", fix, rule)
            continue
        what = 'param_groups[0]["lr"]'
        if isinstance(rate.ctx, ast.Load):
            yield from source.exchange(rate, f"{optimizer}.get_lr()", what, "is get_lr()", rule)
        elif isinstance(whole, ast.Assign) and len(whole.targets) == 1:
            words = f"{optimizer}.set_lr({source.code(whole.value)})"
            yield from source.exchange(whole, words, what, "is set_lr()", rule)
        else:
            fix = f"write the rate by {optimizer}.set_lr(rate)"
            yield source.finding(node, "param_groups", fix, rule)


def _rate_of_all(source: Source, loop: ast.For) -> str | None:
    """Return set_lr() for a loop that gives each group a rate, and does nothing else; or None."""
    (statement, *more), group = loop.body, loop.target
    if more or loop.orelse or not isinstance(group, ast.Name):
        return None
    if not isinstance(statement, (ast.Assign, ast.AugAssign)):
        return None
    rate, optimizer = f"{group.id}['lr']", source.code(loop.iter.value)
    assigned = re.fullmatch(rf"{re.escape(rate)} (\W*)= (.+)", ast.unparse(statement), re.DOTALL)
    if not assigned:
        return None
    operator, code = assigned.groups()
    code = f"{rate} {operator} ({code})" if operator else code
    try:
        tree = ast.parse(code.replace(rate, f"{optimizer}.get_lr()"), mode="eval")
    except SyntaxError:  # an assignment within
        return None
    if any(name.id == group.id for name in nodes(tree, ast.Name)):
        return None
    return f"{optimizer}.set_lr({ast.unparse(tree)})"


def in_place(source: Source) -> Iterator[Finding]:
    """In-place arithmetic takes a number in PyTorch, and in Paddle a tensor alone."""
    for call in source.calls(*IN_PLACE):
        values = arguments(call, ("other",)) or {}
        if source.is_of_module(call) or not {"other"} <= values.keys() <= {"other", "alpha"}:
            continue
        tail = f", alpha={source.code(values['alpha'])}" if "alpha" in values else ""
        target, other = source.code(call.func.value), source.code(values["other"])
        words = f'{HELPERS}.in_place({target}, "{call.func.attr}", {other}{tail})'
        what = f".{call.func.attr}() of what may be a number"
        yield from source.exchange(call, words, what, "goes by a helper", "in place")


def gradients(source: Source) -> Iterator[Finding]:
    """In a function with a gradient of its own, Paddle's context is called for what was saved."""
    for node in nodes(source.tree, ast.ClassDef):
        if not any(source.full(base) in api_tables.FUNCTIONS for base in node.bases):
            continue
        for inner in nodes(node, ast.Attribute):
            what = f".{inner.attr}"
            if what == ".saved_tensors":
                words, fix = f"{source.code(inner.value)}.saved_tensor()", "is .saved_tensor()"
                yield from source.exchange(inner, words, what, fix, "gradients")
            elif what == ".needs_input_grad":
                fix = "Paddle's context has none: return the gradients of all inputs"
                yield source.finding(inner, what, fix, "gradients")


def division(source: Source) -> Iterator[Finding]:
    """x.div(255) takes no number in Paddle; x / 255 does, and makes float32 of bytes too."""
    for call in source.calls("div"):
        if len(call.args) != 1 or call.keywords or source.is_of_module(call):
            continue
        left, right = source.code(call.func.value), source.code(call.args[0])
        if not isinstance(call.args[0], (ast.Constant, ast.Name, ast.Attribute, ast.Call)):
            right = f"({right})"
        if isinstance(call.func.value, (ast.BinOp, ast.UnaryOp, ast.IfExp)):
            left = f"({left})"
        yield from source.exchange(call, f"({left} / {right})", ".div()", "is /", "division")


def files(source: Source) -> Iterator[Finding]:
    """paddle.load and paddle.save take the name of a file as text, and no map_location."""
    for call in source.calls_of("torch.load", "paddle.load", "torch.save", "paddle.save"):
        full = source.full(call.func)
        loads = full.endswith("load")
        order = ("f", "map_location", "pickle_module") if loads else ("obj", "f")
        values = arguments(call, order) or {}
        file = values.get("f", values.get("path"))
        if file is None or not (loads or "obj" in values):
            continue
        words = f"paddle.load({_as_text(source, file)})"
        if not loads:
            words = f"paddle.save({source.code(values['obj'])}, {_as_text(source, file)})"
        if source.code(call) != words:
            yield from source.exchange(call, words, full, "takes a name as text", "files")


def _as_text(source: Source, node: ast.expr) -> str:
    """Return the code of a file's name as text; a buffer would have to be one by its name."""
    code = source.code(node)
    is_text = isinstance(node, (ast.Constant, ast.JoinedStr)) or code.startswith("str(")
    is_buffer = isinstance(node, ast.Name) and node.id in ("f", "file", "buffer", "stream")
    return code if is_text or is_buffer else f"str({code})"


def loaders(source: Source) -> Iterator[Finding]:
    """X2Paddle's DataLoader knows fewer arguments than Paddle's own."""
    for node, full in source.chains("x2paddle.torch2paddle.DataLoader"):
        call = source.call_of(node)
        names = {word.arg for word in call.keywords} if call else set()
        words, target = "paddle.io.DataLoader", node
        if not names <= api_tables.LOADER | api_tables.LOADER_WITHOUT:
            yield source.finding(node, full, f"write it by hand with {words}", "loaders")
            continue
        if names & api_tables.LOADER_WITHOUT:
            kept = source.arguments_of(call, api_tables.LOADER_WITHOUT)
            words, target = f"{words}({', '.join(kept)})", call
        yield from source.exchange(target, words, full, "is paddle.io.DataLoader", "loaders")


def memory_formats(source: Source) -> Iterator[Finding]:
    """Paddle's tensors have one layout in memory, and .to() takes none."""
    for call in source.calls("to", "contiguous", "clone"):
        if not any(word.arg == "memory_format" for word in call.keywords):
            continue
        kept = source.arguments_of(call, {"memory_format"})
        words = source.code(call.func.value)
        if kept or call.func.attr != "to":
            words += f".{call.func.attr}({', '.join(kept)})"
        fix = "dropped: there is one layout"
        yield from source.exchange(call, words, "memory_format", fix, "layouts")


def created(source: Source) -> Iterator[Finding]:
    """paddle.to_tensor takes no device; paddle.tensor does."""
    for node, full in source.chains("paddle.to_tensor"):
        call = source.call_of(node)
        if call and any(word.arg == "device" for word in call.keywords):
            what = f"{full} with a device"
            yield from source.exchange(node, "paddle.tensor", what, "is paddle.tensor", "names")


def optimizer_states(source: Source) -> Iterator[Finding]:
    """What an optimizer keeps is named, in Paddle, by how many layers a process has made."""
    for call in source.calls("state_dict", "load_state_dict", "set_state_dict"):
        owner = source.code(call.func.value)
        if "optim" not in owner.rpartition(".")[2].lower() or source.is_of_module(call):
            continue
        values = ", ".join([owner, *(source.code(argument) for argument in call.args)])
        name = "optimizer_state" if call.func.attr == "state_dict" else "load_optimizer_state"
        words, what = f"{HELPERS}.{name}({values})", f"{owner}.{call.func.attr}"
        fix = "is named by the parameters' numbers"
        yield from source.exchange(call, words, what, fix, "optimizer state")
