"""Before a conversion: what in a PyTorch project the converters are known to stumble over.

Found in the tree of the source, with line and fix. What is a tensor is told from how it is made: by
torch, by a method of a tensor, by an annotation, by a loop over a loader, by a network or a loss
that is given one.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from portproof.convert.files import with_endings
from portproof.convert.rewrite_names import notes
from portproof.convert.running import SHELL
from portproof.convert.source import Finding, Source, nodes, parents, python_files, read_text

ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
LOADS = """
    torch.hub.load torch.hub.load_state_dict_from_url torch.utils.model_zoo.load_url
    torch.hub.download_url_to_file urllib.request.urlretrieve wget.download
"""
BOARDS = ("torch.utils.tensorboard", "tensorboardX", "tensorboard")
NO_TENSORS = {"item", "tolist", "numpy", "size", "dim", "numel", "type", "data_ptr", "stride"}
# Functions of torch that return no tensor.
OF_TORCH = """
    device no_grad load save manual_seed is_tensor set_grad_enabled compile autocast
    set_num_threads finfo iinfo is_grad_enabled enable_grad set_default_dtype get_default_dtype
"""
TO_TENSOR = {"ToTensor", "PILToTensor", "to_tensor", "pil_to_tensor"}  # of torchvision.transforms


def check(folder: Path) -> list[Finding]:
    """Return what to mend in a project before it is converted, by file and line."""
    paths = python_files(folder)
    sources = [Source(str(path.relative_to(folder)), read_text(path)) for path in paths]
    to_tensor = any(TO_TENSOR & set(_words(source.tree)) for source in sources)
    found = []
    for source in sources:
        look = Look(source, to_tensor)
        for rule in (boards, bitwise, datasets, downloads, numbers, samples, casts):
            found += rule(look)
    found += workers(sources)
    found += shell(folder)
    unique = {(one.file, one.line, one.what): one for one in found}
    return sorted(unique.values(), key=lambda one: (one.file, one.line, one.rule))


def _words(tree: ast.AST) -> Iterator[str]:
    """Yield the names and attributes that a file uses or imports."""
    yield from map(last_name, nodes(tree, ast.Name, ast.Attribute, ast.alias))


def last_name(node: ast.AST) -> str:
    """Return the name that a Name, an Attribute or an import ends with; of others nothing."""
    for field in ("attr", "id", "name"):
        if isinstance(getattr(node, field, None), str):
            return getattr(node, field).rpartition(".")[2]
    return ""


class Look:
    """A file with what is known of its names.

    `to_tensor`: the project turns images into tensors, so what is called a transform does.
    """

    def __init__(self, source: Source, to_tensor: bool) -> None:
        self.source = source
        self.to_tensor = to_tensor
        self.tree = source.tree
        self.up = parents(source.tree)
        self.defined = {node.name for node in nodes(self.tree, ast.FunctionDef, ast.ClassDef)}
        self.held = {node.arg for node in nodes(self.tree, ast.arg)}
        stored = [n for n in nodes(self.tree, ast.Name) if isinstance(n.ctx, ast.Store)]
        self.held |= {node.id for node in stored}
        self.held -= self.defined | self.source.imported.keys()
        self.in_notes = {id(node) for note in notes(source.tree) for node in ast.walk(note)}
        self.tensors: dict[ast.AST, set[str]] = {}
        self.tensors = self._tensors()  # twice: methods use what other methods assign to self
        self.tensors = self._tensors()

    def _tensors(self) -> dict[ast.AST, set[str]]:
        """Return, by function (or module), the names that hold tensors: twice, for loops."""
        found: dict[ast.AST, set[str]] = {}
        for scope in (self.tree, *nodes(self.tree, ast.FunctionDef)):
            own = found[scope] = set()
            if isinstance(scope, ast.FunctionDef):
                for arg in [*scope.args.args, *scope.args.kwonlyargs]:
                    if arg.annotation and self.source.full(arg.annotation) == "torch.Tensor":
                        own.add(arg.arg)
                if scope.name == "forward":  # of a network: what comes in is a tensor
                    own |= {arg.arg for arg in scope.args.args[1:2]}
            for _ in range(2):
                for node in ast.walk(scope):
                    if isinstance(node, ast.Assign) and self.is_tensor(node.value, own):
                        for target in node.targets:
                            own |= names_in(target)
                    elif isinstance(node, (ast.For, ast.comprehension)):
                        own |= self._of_batches(node)
        return found

    def _of_batches(self, loop: ast.For | ast.comprehension) -> set[str]:
        """Return the names that a loop over a loader gives to the tensors of a batch."""
        over, target = loop.iter, loop.target
        while isinstance(over, ast.Call) and over.args and not self._is_loader(over):
            counts = last_name(over.func) == "enumerate" and isinstance(target, ast.Tuple)
            target = target.elts[-1] if counts else target
            over = over.args[0]  # enumerate(loader), tqdm(loader)
        return names_in(target) if self._is_loader(over) else set()

    def _is_loader(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            return self.source.full(node.func).endswith("DataLoader")
        if isinstance(node, ast.Subscript):  # loaders["train"]
            return "loader" in last_name(node.value).lower()
        name = last_name(node).lower()
        return "loader" in name and not name.endswith("s")

    def _is_network(self, func: ast.AST) -> bool:
        """Say whether a call is of what a variable or self holds: a network, a loss."""
        if isinstance(func, ast.Name):
            return func.id in self.held
        return bool(written(func)) and func.attr not in self.defined

    def _makes_tensor(self, func: ast.AST) -> bool:
        """Say whether a call is of a transform that gives a tensor."""
        full = self.source.full(func.func if isinstance(func, ast.Call) else func)
        if full.startswith("torchvision.transforms."):
            last = full.rpartition(".")[2]
            return last in TO_TENSOR and isinstance(func, ast.Call) == last[0].isupper()
        held = func.id in self.held if isinstance(func, ast.Name) else bool(written(func))
        return self.to_tensor and held and "transform" in last_name(func).lower()

    def _of_self(self, node: ast.AST) -> set[str]:
        """Return what the methods of the class around a node assign to self: "self.x"."""
        while node is not self.tree and not isinstance(node, ast.ClassDef):
            node = self.up[id(node)]
        own = [self.tensors.get(one, set()) for one in ast.walk(node) if one is not self.tree]
        return {name for names in own for name in names if name.startswith("self.")}

    def scope(self, node: ast.AST) -> set[str]:
        while node is not self.tree and not isinstance(node, ast.FunctionDef):
            node = self.up[id(node)]
        return self.tensors.get(node, set())

    def is_tensor(self, node: ast.AST, known: set[str] | None = None) -> bool:
        """Say whether an expression is surely a tensor."""
        known = self.scope(node) if known is None else known
        if isinstance(node, ast.Name):
            return node.id in known
        if isinstance(node, ast.Attribute):
            name = written(node)
            return name in known or name in self._of_self(node)
        if isinstance(node, ast.Call):
            full = self.source.full(node.func)
            if full.startswith("torch."):
                last = full.rpartition(".")[2]
                one_level = full.count(".") == 1 or full.startswith("torch.nn.functional.")
                return one_level and last[0].islower() and last not in OF_TORCH.split()
            if self._makes_tensor(node.func):
                return True
            if self._is_network(node.func) and any(self.is_tensor(a, known) for a in node.args):
                return True
            method = isinstance(node.func, ast.Attribute) and node.func.attr not in NO_TENSORS
            return method and self.is_tensor(node.func.value, known)
        if isinstance(node, ast.Subscript):
            return self.is_tensor(node.value, known)
        if isinstance(node, ast.BinOp):
            return self.is_tensor(node.left, known) or self.is_tensor(node.right, known)
        if isinstance(node, ast.UnaryOp):
            return not isinstance(node.op, ast.Not) and self.is_tensor(node.operand, known)
        if isinstance(node, ast.Compare):
            return any(self.is_tensor(one, known) for one in (node.left, *node.comparators))
        return False

    def is_mask(self, node: ast.AST) -> bool:
        """Say whether an expression is a comparison of tensors."""
        ordered = isinstance(node, ast.Compare) and isinstance(node.ops[0], ORDER)
        return ordered and self.is_tensor(node)


def written(node: ast.AST) -> str:
    """Return self.x as it is written; of other attributes nothing."""
    own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return f"self.{node.attr}" if own and node.value.id == "self" else ""


def names_in(target: ast.AST) -> set[str]:
    """Return what an assignment's target names: variables, and attributes of self."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return {name for one in target.elts for name in names_in(one)}
    if isinstance(target, (ast.Starred, ast.Subscript)):
        return names_in(target.value)
    return {target.id} if isinstance(target, ast.Name) else {written(target)} - {""}


def boards(look: Look) -> Iterator[Finding]:
    for node in ast.walk(look.tree):
        modules = [getattr(node, "module", None)] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        if any(module and module.startswith(BOARDS) for module in modules):
            fix = "log by visualdl.LogWriter, or take the board out before the conversion"
            yield look.source.by_hand(node, "TensorBoard", fix, "boards")


def bitwise(look: Look) -> Iterator[Finding]:
    words = {ast.BitAnd: "logical_and", ast.BitOr: "logical_or", ast.BitXor: "logical_xor"}
    for node in ast.walk(look.tree):
        if id(node) in look.in_notes:
            continue
        word = words.get(type(getattr(node, "op", None)))
        ends, target = [], ""
        if isinstance(node, ast.BinOp) and word:
            ends = [node.left, node.right]
        elif isinstance(node, ast.AugAssign) and word:
            ends, target = [node.target, node.value], "a = "
        if any(look.is_tensor(end) for end in ends):
            fix = f"write {target}torch.{word}(a, b) where both are masks"
            yield look.source.by_hand(node, "a bitwise operator on tensors", fix, "bitwise")
        inverts = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert)
        if inverts and look.is_tensor(node.operand):
            fix = "write torch.logical_not(a) where it is a mask"
            yield look.source.by_hand(node, "a bitwise operator on a tensor", fix, "bitwise")


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}


def datasets(look: Look) -> Iterator[Finding]:
    for node in nodes(look.tree, ast.ClassDef):
        if any(last_name(base) != "object" for base in node.bases):
            continue
        if {"__getitem__", "__len__"} <= methods(node).keys():
            fix = f"write class {node.name}(torch.utils.data.Dataset): Paddle asks for its own"
            yield look.source.by_hand(node, "a data set without its base class", fix, "datasets")


def downloads(look: Look) -> Iterator[Finding]:
    fix = "fetch the file beforehand and convert it by --pretrained"
    for node in nodes(look.tree, ast.Call):
        full = look.source.full(node.func)
        given = {word.arg: word.value for word in node.keywords}
        wanted = [given[name] for name in ("pretrained", "weights") if name in given]
        wanted += [
            arg for arg in node.args if getattr(arg, "value", None) is True
        ]  # resnet18(True)
        asked = any(not (isinstance(v, ast.Constant) and not v.value) for v in wanted)
        of_models = full.startswith("torchvision.models.") or full == "timm.create_model"
        if full in LOADS.split() or (of_models and asked):
            yield look.source.by_hand(node, f"{full}() fetches weights", fix, "downloads")


def numbers(look: Look) -> Iterator[Finding]:
    for node in nodes(look.tree, ast.Compare):
        ends = [node.left, *node.comparators]
        plain = [end for end in ends if isinstance(_value(end), ast.Constant)]
        if any(isinstance(_value(end).value, (int, float)) for end in plain) and any(
            look.is_tensor(end) for end in ends
        ):
            fix = "compare with torch.tensor(number), or the tensor's .item() with the number"
            yield look.source.by_hand(node, "a tensor compared with a number", fix, "numbers")


def _value(node: ast.AST) -> ast.AST:
    return node.operand if isinstance(node, ast.UnaryOp) else node


def samples(look: Look) -> Iterator[Finding]:
    """Tensors that __getitem__ returns go through Paddle's workers one by one."""
    for node in nodes(look.tree, ast.ClassDef):
        method = methods(node).get("__getitem__")
        if method is None:
            continue
        places = [
            node
            for node in nodes(method, ast.Return)
            if any(look.is_tensor(part) for part in _parts(node.value))
        ]
        if not places and method.returns is not None:  # made elsewhere, and told by the annotation
            named = {look.source.full(one) for one in ast.walk(method.returns)}
            places = [method] if "torch.Tensor" in named else []
        for one in places:
            fix = "return NumPy arrays and numbers; the loader makes the tensors"
            yield look.source.by_hand(one, "__getitem__ returns a tensor", fix, "samples")


def _parts(value: ast.AST | None) -> list[ast.AST]:
    """Return what a tuple, a list or a dict is made of, or a value itself."""
    if isinstance(value, (ast.Tuple, ast.List)):
        return [part for one in value.elts for part in _parts(one)]
    if isinstance(value, ast.Dict):
        return [part for one in value.values for part in _parts(one)]
    return [] if value is None else [value]


def casts(look: Look) -> Iterator[Finding]:
    """Arithmetic and means of masks, and masks of bytes: Paddle wants the type said."""
    arithmetic = (ast.Sub, ast.Mult, ast.Div)
    for node in ast.walk(look.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, arithmetic):
            if look.is_mask(node.left) or look.is_mask(node.right):
                fix = "write (a == b).float(), or .long(), before the arithmetic"
                yield look.source.by_hand(node, "arithmetic with a comparison", fix, "casts")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "byte" and look.is_tensor(node.func.value):
                fix = "write .bool(): a mask of bytes is taken for indices"
                yield look.source.by_hand(node, "a mask of bytes", fix, "casts")
            elif node.func.attr == "mean" and look.is_mask(node.func.value):
                fix = "write (a == b).float().mean(): the mean of a mask is a mask in Paddle"
                yield look.source.by_hand(node, "the mean of a comparison", fix, "casts")


def workers(sources: list[Source]) -> Iterator[Finding]:
    """Workers of a loader, where the data set puts its tensors on a GPU."""
    on_gpu = any(_moves(source) for source in sources)
    for source in sources if on_gpu else ():
        for node in nodes(source.tree, ast.Call):
            if source.full(node.func).endswith("DataLoader"):
                count = next((w.value for w in node.keywords if w.arg == "num_workers"), None)
                if count is not None and not (isinstance(count, ast.Constant) and not count.value):
                    fix = "move batches to the GPU in the training loop, or set num_workers=0"
                    what = "num_workers with tensors on a GPU in the data set"
                    yield source.by_hand(node, what, fix, "workers")


def _moves(source: Source) -> bool:
    """Say whether a data set of a file puts tensors on a device."""
    classes = [node for node in nodes(source.tree, ast.ClassDef) if "__getitem__" in methods(node)]
    return any(_moves_by(call, source) for node in classes for call in nodes(node, ast.Call))


def _moves_by(call: ast.Call, source: Source) -> bool:
    """Say whether a call is x.cuda(), x.to(device), or one of torch's with a device."""
    given = [word.value for word in call.keywords if word.arg == "device"]
    if isinstance(call.func, ast.Attribute) and call.func.attr == "cuda":
        return True
    if isinstance(call.func, ast.Attribute) and call.func.attr == "to":
        given += call.args[:1]
    kinds = [source.full(one) for one in given]
    return any(
        not (isinstance(one, ast.Constant) and one.value in ("cpu", None))
        and not (kind.startswith("torch.") and kind != "torch.device")  # x.to(torch.float32)
        for one, kind in zip(given, kinds, strict=True)
    )


def shell(folder: Path) -> Iterator[Finding]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SHELL):
        file = str(path.relative_to(folder))
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if with_endings(line) != line:
                fix = "ends in .pdparams after the conversion, which exchanges it"
                yield Finding(file, number, "a file of weights", fix, rule="shell")
