"""Rewrites of single calls, on PyTorch's code and on what a converter made of it.

Each is a rule: it takes a Source and yields a Place for each thing to write or to tell of.
"""

import ast
import re
from collections.abc import Callable

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import Place, Places, Source
from portproof.convert.trees import arguments, call_of, has_keyword, is_false, nodes

Rule = Callable[[Source], Places]
IN_PLACE = ("add_", "sub_", "mul_", "div_")


def renames(source: Source, only: set[str] | None = None) -> Places:
    """Exchange names, or their beginnings, that Paddle has under another name; `only` these."""
    for node, whole in source.chains("torch", "torchvision", "paddle"):
        full = whole
        while isinstance(node, ast.Attribute) and full not in api_tables.RENAMES:
            full, node = full.rpartition(".")[0], node.value
        if full in api_tables.RENAMES and (only is None or full in only or whole in only):
            words = api_tables.RENAMES[full]
            yield Place(node, whole, f"is {words}{whole.removeprefix(full)}", words)


def sgd(source: Source) -> Places:
    """torch.optim.SGD is Momentum where it has one, with Paddle's names for its arguments."""
    for node, full in source.chains(*api_tables.SGDS):
        call = call_of(node)
        if call is None:  # in an annotation, say
            yield Place(node, full, "is Momentum", "paddle.optimizer.Momentum")
            continue
        values = arguments(call, api_tables.SGD.split())
        trouble = _sgd_trouble(values)
        if trouble:
            yield Place(node, f"SGD {trouble}", "write it by hand with paddle.optimizer.Momentum")
            continue
        what, kind, names = full, "paddle.optimizer.SGD", api_tables.SGD_NAMES
        if "momentum" in values and not is_false(values["momentum"]):
            what, kind = f"{full} with momentum", "paddle.optimizer.Momentum"
            names = names | api_tables.MOMENTUM_NAMES
        codes = {"lr": "0.001", "weight_decay": "0.0"}
        codes |= {name: source.code(value) for name, value in values.items()}
        words = ", ".join(f"{names[name]}={codes[name]}" for name in names if name in codes)
        yield Place(call, what, f"is {kind}", f"{kind}({words})")


def _sgd_trouble(values: dict[str, ast.expr] | None) -> str | None:
    if values is None or "params" not in values:
        return "takes its arguments from a list or dict"
    for name in ("dampening", "maximize"):
        if name in values and not is_false(values[name]):
            return f"has {name}, which Paddle's has not"
    if isinstance(values["params"], (ast.List, ast.ListComp)):
        return "has groups, whose learning_rate multiplies the optimizer's in Paddle"
    return None


def scaler(source: Source) -> Places:
    """The scaler of losses in half precision has other names for its arguments."""
    target, names = "paddle.amp.GradScaler", api_tables.SCALER
    for node, full in source.chains(*api_tables.SCALERS):
        call = call_of(node)
        if call is None:
            yield Place(node, full, f"is {target}", target)
            continue
        values = arguments(call, list(names)[full.startswith("torch.cuda") :])
        if values is None or not values.keys() <= names.keys():
            yield Place(node, full, f"write it by hand with {target}")
            continue
        codes = [f"{names[name]}={source.code(values[name])}" for name in values if names[name]]
        yield Place(call, full, f"is {target}", f"{target}({', '.join(codes)})")


def param_groups(source: Source) -> Places:
    """optimizer.param_groups[0]["lr"] is read by get_lr() and written by set_lr()."""
    for node in nodes(source.tree, ast.Attribute):
        if node.attr != "param_groups":
            continue
        group = node.parent
        loops = isinstance(group, ast.For) and group.iter is node
        words = _rate_of_all(source, group) if loops else None
        if words:
            yield Place(group, 'group["lr"] of each of param_groups', "is set_lr()", words)
            continue
        rate, optimizer = group.parent, source.code(node.value)
        what, fix = "param_groups", f"write the rate by {optimizer}.set_lr(rate)"
        if ast.unparse(rate) != f"{ast.unparse(node)}[0]['lr']":
            fix = f"read the rate by {optimizer}.get_lr(), write it by {optimizer}.set_lr(rate)"
            yield Place(node, what, fix)
        elif isinstance(rate.ctx, ast.Load):
            what = 'param_groups[0]["lr"]'
            yield Place(rate, what, "is get_lr()", f"{optimizer}.get_lr()")
        elif isinstance(rate.parent, ast.Assign) and len(rate.parent.targets) == 1:
            words = f"{optimizer}.set_lr({source.code(rate.parent.value)})"
            yield Place(rate.parent, 'param_groups[0]["lr"]', "is set_lr()", words)
        else:
            yield Place(node, what, fix)


def _rate_of_all(source: Source, loop: ast.For) -> str | None:
    """Return set_lr() for a loop that gives each group a rate, and does nothing else; or None."""
    (statement, *more), group = loop.body, loop.target
    assigns = isinstance(group, ast.Name) and isinstance(statement, (ast.Assign, ast.AugAssign))
    if more or loop.orelse or not assigns:
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


def in_place(source: Source) -> Places:
    """In-place arithmetic takes a number in PyTorch, and in Paddle a tensor alone."""
    for call in source.calls(*IN_PLACE):
        values = arguments(call, ("other",)) or {}
        if source.is_of_module(call) or not {"other"} <= values.keys() <= {"other", "alpha"}:
            continue
        tail = f", alpha={source.code(values['alpha'])}" if "alpha" in values else ""
        target, other = source.code(call.func.value), source.code(values["other"])
        words = f'{HELPERS}.in_place({target}, "{call.func.attr}", {other}{tail})'
        what = f".{call.func.attr}() of what may be a number"
        yield Place(call, what, "goes by a helper", words)


def gradients(source: Source) -> Places:
    """In a function with a gradient of its own, Paddle's context is called for what was saved."""
    for node in nodes(source.tree, ast.ClassDef):
        if not any(source.full(base) in api_tables.FUNCTIONS for base in node.bases):
            continue
        for inner in nodes(node, ast.Attribute):
            what = f".{inner.attr}"
            if what == ".saved_tensors":
                words = f"{source.code(inner.value)}.saved_tensor()"
                yield Place(inner, what, "is .saved_tensor()", words)
            elif what == ".needs_input_grad":
                fix = "Paddle's context has none: return the gradients of all inputs"
                yield Place(inner, what, fix)


def division(source: Source) -> Places:
    """x.div(255) takes no number in Paddle; x / 255 does, and makes float32 of bytes too."""
    for call in source.calls("div"):
        if len(call.args) != 1 or call.keywords or source.is_of_module(call):
            continue
        left, right = source.code(call.func.value), source.code(call.args[0])
        if not isinstance(call.args[0], (ast.Constant, ast.Name, ast.Attribute, ast.Call)):
            right = f"({right})"
        if isinstance(call.func.value, (ast.BinOp, ast.UnaryOp, ast.IfExp)):
            left = f"({left})"
        yield Place(call, ".div()", "is /", f"({left} / {right})")


def files(source: Source) -> Places:
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
            yield Place(call, full, "takes a name as text", words)


def _as_text(source: Source, node: ast.expr) -> str:
    """Return the code of a file's name as text; a buffer would have to be one by its name."""
    code = source.code(node)
    is_text = isinstance(node, (ast.Constant, ast.JoinedStr)) or code.startswith("str(")
    return code if is_text or code in ("f", "file", "buffer", "stream") else f"str({code})"


def loaders(source: Source) -> Places:
    """X2Paddle's DataLoader knows fewer arguments than Paddle's own."""
    target, fewer = "paddle.io.DataLoader", api_tables.LOADER_WITHOUT
    for node, full in source.chains("x2paddle.torch2paddle.DataLoader"):
        call = call_of(node)
        names = {word.arg for word in call.keywords} if call else set()
        if not names <= api_tables.LOADER | fewer:
            yield Place(node, full, f"write it by hand with {target}")
        elif names & fewer:
            words = f"{target}({', '.join(source.arguments_of(call, fewer))})"
            yield Place(call, full, f"is {target}", words)
        else:
            yield Place(node, full, f"is {target}", target)


def memory_formats(source: Source) -> Places:
    """Paddle's tensors have one layout in memory, and .to() takes none."""
    for call in source.calls("to", "contiguous", "clone"):
        if has_keyword(call, "memory_format"):
            kept = source.arguments_of(call, {"memory_format"})
            words = source.code(call.func.value)
            if kept or call.func.attr != "to":
                words += f".{call.func.attr}({', '.join(kept)})"
            yield Place(call, "memory_format", "dropped: there is one layout", words)


def created(source: Source) -> Places:
    """paddle.to_tensor takes no device; paddle.tensor does."""
    for node, full in source.chains("paddle.to_tensor"):
        call = call_of(node)
        if call and has_keyword(call, "device"):
            yield Place(node, f"{full} with a device", "is paddle.tensor", "paddle.tensor")


def optimizer_states(source: Source) -> Places:
    """What an optimizer keeps is named, in Paddle, by how many layers a process has made."""
    for call in source.calls("state_dict", "load_state_dict", "set_state_dict"):
        owner, method = source.code(call.func.value), call.func.attr
        if "optim" not in owner.rpartition(".")[2].lower() or source.is_of_module(call):
            continue
        values = ", ".join([owner, *(source.code(argument) for argument in call.args)])
        name = "optimizer_state" if method == "state_dict" else "load_optimizer_state"
        fix, words = "is named by the parameters' numbers", f"{HELPERS}.{name}({values})"
        yield Place(call, f"{owner}.{method}", fix, words)
