"""Rewrites of single calls, on PyTorch's code and on what a converter made of it.

Each takes a Source, notes edits in the source, and yields a Finding for each place.
"""

import ast
from collections.abc import Callable, Iterator

from portproof.convert import api_tables
from portproof.convert.api_tables import HELPERS
from portproof.convert.source import DONE, Finding, Source, arguments, nodes, parents

Rewrite = Callable[[Source], Iterator[Finding]]
IN_PLACE = ("add_", "sub_", "mul_", "div_")


def calls(source: Source, *methods: str) -> Iterator[ast.Call]:
    """Yield the calls of a file, or those of methods of these names."""
    for node in nodes(source.tree, ast.Call):
        if not methods or is_method(node, *methods):
            yield node


def is_method(call: ast.Call, *names: str) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in names


def of_module(call: ast.Call, source: Source) -> bool:
    """Say whether what is called belongs to a module, as np.max, and is no method of a tensor."""
    root = call.func
    while isinstance(root, ast.Attribute):
        root = root.value
    own = {*source.imported, "torch", "paddle", HELPERS}
    return isinstance(root, ast.Name) and root.id in own


def renames(source: Source, only: set[str] | None = None) -> Iterator[Finding]:
    """Exchange names of PyTorch that Paddle has under another name, `only` these where given."""
    for head in ("torch", "torchvision", "paddle"):
        for node, full in source.chains(head):
            yield from _rename(source, node, full, only)


def _rename(source: Source, node: ast.AST, full: str, only: set[str] | None) -> Iterator[Finding]:
    """Exchange a name; of torch.distributed.ReduceOp.MAX the beginning is enough."""
    tail = ""
    while isinstance(node, ast.Attribute) and full not in api_tables.RENAMES:
        tail, full, node = f".{node.attr}{tail}", full.rpartition(".")[0], node.value
    if full in api_tables.RENAMES and (only is None or full in only or full + tail in only):
        target = api_tables.RENAMES[full] + tail
        words = api_tables.RENAMES[full]
        yield from source.exchange(node, words, f"{full}{tail}", f"is {target}", "names")


def sgd(source: Source) -> Iterator[Finding]:
    """torch.optim.SGD is Momentum where it has one, with Paddle's names for its arguments."""
    places = [pair for title in api_tables.SGDS for pair in source.chains(title)]
    for node, full in places:
        call = _call_of(source, node)
        if call is None:  # in an annotation, say
            words = "paddle.optimizer.Momentum"
            yield from source.exchange(node, words, full, "is Momentum", "optimizer")
            continue
        found = arguments(call, api_tables.SGD.split())
        trouble = _sgd_trouble(found)
        if trouble:
            fix = "write it by hand with paddle.optimizer.Momentum"
            yield source.by_hand(node, f"SGD {trouble}", fix, "optimizer")
            continue
        words = {key: source.code(value) for key, value in found.items()}
        given = [
            f"learning_rate={words.get('lr', '0.001')}",
            f"parameters={words['params']}",
            f"weight_decay={words.get('weight_decay', '0.0')}",
        ]
        kind = "SGD"
        if "momentum" in words and not _is_zero(found["momentum"]):
            kind = "Momentum"
            given.append(f"momentum={words['momentum']}")
            if "nesterov" in words:
                given.append(f"use_nesterov={words['nesterov']}")
        what = full + (" with momentum" if kind == "Momentum" else "")
        kind = f"paddle.optimizer.{kind}"
        words = f"{kind}({', '.join(given)})"
        yield from source.exchange(call, words, what, f"is {kind}", "optimizer")


def _call_of(source: Source, node: ast.AST) -> ast.Call | None:
    return next((call for call in calls(source) if call.func is node), None)


def _is_zero(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _sgd_trouble(found: dict[str, ast.expr] | None) -> str | None:
    if found is None or "params" not in found:
        return "takes its arguments from a list or dict"
    for name in ("dampening", "maximize"):
        value = found.get(name)
        if value is not None and not (isinstance(value, ast.Constant) and not value.value):
            return f"has {name}, which Paddle's has not"
    if isinstance(found["params"], (ast.List, ast.ListComp)):
        return "has groups, whose learning_rate multiplies the optimizer's in Paddle"
    return None


def scaler(source: Source) -> Iterator[Finding]:
    """The scaler of losses in half precision has other names for its arguments."""
    for title in api_tables.SCALERS:
        for node, full in source.chains(title):
            call, words = _call_of(source, node), "paddle.amp.GradScaler"
            if call is not None:
                order = list(api_tables.SCALER)[title.startswith("torch.cuda") :]
                found = arguments(call, order)
                if found is None or not found.keys() <= api_tables.SCALER.keys():
                    yield source.by_hand(node, full, f"write it by hand with {words}", "scaler")
                    continue
                given = [
                    f"{api_tables.SCALER[key]}={source.code(value)}"
                    for key, value in found.items()
                    if api_tables.SCALER[key]
                ]
                words += f"({', '.join(given)})"
            fix = "is paddle.amp.GradScaler"
            yield from source.exchange(call or node, words, full, fix, "scaler")


def param_groups(source: Source) -> Iterator[Finding]:
    """optimizer.param_groups[0]["lr"] is read by get_lr() and written by set_lr()."""
    up = parents(source.tree)
    for node in nodes(source.tree, ast.Attribute):
        if node.attr != "param_groups":
            continue
        group, place = up.get(id(node)), "optimizer"
        if isinstance(group, ast.For) and group.iter is node:
            words = _rate_of_all(source, group)
            if words and source.replace(group, words):
                what = 'group["lr"] of each of param_groups'
                yield Finding(source.file, node.lineno, what, "is set_lr()", DONE, place)
                continue
        rate = up.get(id(group))
        whole = up.get(id(rate))
        optimizer = source.code(node.value)
        if not (_is_item(group, node) and _is_item(rate, group, "lr")):
            fix = f"read the rate by {optimizer}.get_lr(), write it by {optimizer}.set_lr(rate)"
            yield source.by_hand(node, "param_groups", fix, place)
            continue
        what = 'param_groups[0]["lr"]'
        if isinstance(rate.ctx, ast.Load):
            yield from source.exchange(rate, f"{optimizer}.get_lr()", what, "is get_lr()", place)
        elif isinstance(whole, ast.Assign) and len(whole.targets) == 1:
            words = f"{optimizer}.set_lr({source.code(whole.value)})"
            yield from source.exchange(whole, words, what, "is set_lr()", place)
        else:
            fix = f"write the rate by {optimizer}.set_lr(rate)"
            yield source.by_hand(node, "param_groups", fix, place)


def _rate_of_all(source: Source, loop: ast.For) -> str | None:
    """Return set_lr() for a loop that gives each group a rate, and does nothing else; or None."""
    (statement, *more), group = loop.body, loop.target
    if more or loop.orelse or not isinstance(group, ast.Name):
        return None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
    elif isinstance(statement, ast.AugAssign):
        target = statement.target
        value = ast.BinOp(
            ast.parse(source.code(target)).body[0].value, statement.op, statement.value
        )
    else:
        return None
    optimizer = source.code(loop.iter.value)
    value = _WithRate(group.id, optimizer).visit(ast.parse(ast.unparse(value)).body[0].value)
    if any(name.id == group.id for name in nodes(value, ast.Name)):
        return None
    is_rate = isinstance(target, ast.Subscript) and _is_item(target, target.value, "lr")
    if not is_rate or source.code(target.value) != group.id:
        return None
    return f"{optimizer}.set_lr({ast.unparse(value)})"


class _WithRate(ast.NodeTransformer):
    """Put optimizer.get_lr() in the place of group["lr"]."""

    def __init__(self, group: str, optimizer: str) -> None:
        self.group = group
        self.rate = ast.parse(f"{optimizer}.get_lr()").body[0].value

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        is_rate = isinstance(node.slice, ast.Constant) and node.slice.value == "lr"
        if is_rate and isinstance(node.value, ast.Name) and node.value.id == self.group:
            return self.rate
        return self.generic_visit(node)


def _is_item(node: ast.AST | None, of: ast.AST, key: str | None = None) -> bool:
    """Say whether `node` is of[0], or of[key]."""
    if not (isinstance(node, ast.Subscript) and node.value is of):
        return False
    wanted = 0 if key is None else key
    return isinstance(node.slice, ast.Constant) and node.slice.value == wanted


def in_place(source: Source) -> Iterator[Finding]:
    """In-place arithmetic takes a number in PyTorch, and in Paddle a tensor alone."""
    for call in calls(source, *IN_PLACE):
        found = arguments(call, ("other",)) or {}
        if of_module(call, source) or not {"other"} <= found.keys() <= {"other", "alpha"}:
            continue
        tail = f", alpha={source.code(found['alpha'])}" if "alpha" in found else ""
        target, other = source.code(call.func.value), source.code(found["other"])
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
                yield source.by_hand(inner, what, fix, "gradients")


def division(source: Source) -> Iterator[Finding]:
    """x.div(255) takes no number in Paddle; x / 255 does, and makes float32 of bytes too."""
    for call in calls(source, "div"):
        if len(call.args) != 1 or call.keywords or of_module(call, source):
            continue
        left, right = source.code(call.func.value), source.code(call.args[0])
        if not isinstance(call.args[0], (ast.Constant, ast.Name, ast.Attribute, ast.Call)):
            right = f"({right})"
        if isinstance(call.func.value, (ast.BinOp, ast.UnaryOp, ast.IfExp)):
            left = f"({left})"
        yield from source.exchange(call, f"({left} / {right})", ".div()", "is /", "division")


def files(source: Source) -> Iterator[Finding]:
    """paddle.load and paddle.save take the name of a file as text, and no map_location."""
    for call in calls(source):
        full = source.full(call.func)
        loads = full in ("torch.load", "paddle.load")
        if not loads and full not in ("torch.save", "paddle.save"):
            continue
        order = ("f", "map_location", "pickle_module") if loads else ("obj", "f")
        found = arguments(call, order) or {}
        file = found.get("f", found.get("path"))
        if file is None or not (loads or "obj" in found):
            continue
        words = f"paddle.load({_as_text(source, file)})"
        if not loads:
            words = f"paddle.save({source.code(found['obj'])}, {_as_text(source, file)})"
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
        call = _call_of(source, node)
        given = {word.arg for word in call.keywords} if call else set()
        words, target = "paddle.io.DataLoader", node
        if not given <= api_tables.LOADER | api_tables.LOADER_WITHOUT:
            yield source.by_hand(node, full, f"write it by hand with {words}", "loaders")
            continue
        if given & api_tables.LOADER_WITHOUT:
            kept = [source.code(one) for one in call.args]
            kept += [
                f"{word.arg}={source.code(word.value)}"
                for word in call.keywords
                if word.arg not in api_tables.LOADER_WITHOUT
            ]
            words, target = f"{words}({', '.join(kept)})", call
        yield from source.exchange(target, words, full, "is paddle.io.DataLoader", "loaders")


def memory_formats(source: Source) -> Iterator[Finding]:
    """Paddle's tensors have one layout in memory, and .to() takes none."""
    for call in calls(source, "to", "contiguous", "clone"):
        if not any(word.arg == "memory_format" for word in call.keywords):
            continue
        kept = [source.code(one) for one in call.args]
        kept += [
            f"{word.arg}={source.code(word.value)}" if word.arg else f"**{source.code(word.value)}"
            for word in call.keywords
            if word.arg != "memory_format"
        ]
        target = source.code(call.func.value)
        plain = kept or call.func.attr != "to"
        words = f"{target}.{call.func.attr}({', '.join(kept)})" if plain else target
        fix = "dropped: there is one layout"
        yield from source.exchange(call, words, "memory_format", fix, "layouts")


def created(source: Source) -> Iterator[Finding]:
    """paddle.to_tensor takes no device; paddle.tensor does."""
    for node, full in source.chains("paddle.to_tensor"):
        call = _call_of(source, node)
        if call is None or all(word.arg != "device" for word in call.keywords):
            continue
        what = f"{full} with a device"
        yield from source.exchange(node, "paddle.tensor", what, "is paddle.tensor", "names")


def optimizer_states(source: Source) -> Iterator[Finding]:
    """What an optimizer keeps is named, in Paddle, by how many layers a process has made."""
    for call in calls(source, "state_dict", "load_state_dict", "set_state_dict"):
        owner = source.code(call.func.value)
        if "optim" not in owner.rpartition(".")[2].lower() or of_module(call, source):
            continue
        given = ", ".join([owner, *(source.code(one) for one in call.args)])
        name = "optimizer_state" if call.func.attr == "state_dict" else "load_optimizer_state"
        words, what = f"{HELPERS}.{name}({given})", f"{owner}.{call.func.attr}"
        fix = "is named by the parameters' numbers"
        yield from source.exchange(call, words, what, fix, "optimizer state")
