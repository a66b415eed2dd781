"""Before a conversion: what in a PyTorch project the converters are known to stumble over.

Each finding has a line and a fix. What counts as a tensor: what torch, a method of a tensor, a
network or a loss of a tensor returns, what is annotated so, and what a loop over a loader gives.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from portproof.convert.files import shell_scripts, with_endings
from portproof.convert.rewrite_names import is_dataset, methods, notes
from portproof.convert.source import Finding, Place, Places, Source
from portproof.convert.texts import python_files, read_text
from portproof.convert.trees import is_false, is_method, nodes

ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
BITWISE = {ast.BitAnd: "logical_and", ast.BitOr: "logical_or", ast.BitXor: "logical_xor"}
BITWISE |= {ast.Invert: "logical_not"}
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
    words = (ast.Name, ast.Attribute, ast.alias)
    names = {last_name(node) for source in sources for node in nodes(source.tree, *words)}
    on_gpu = any(map(_moves, sources))
    findings = list(shell(folder))
    for source in sources:
        look = Look(source, to_tensor=not names.isdisjoint(TO_TENSOR))
        rules = [boards, bitwise, datasets, downloads, numbers, samples, casts]
        for rule in [*rules, workers] if on_gpu else rules:
            findings += source.left(rule(look), rule.__name__)
    unique = {(finding.file, finding.line, finding.what): finding for finding in findings}
    return sorted(unique.values(), key=lambda finding: (finding.file, finding.line, finding.rule))


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
        self.defined = {node.name for node in nodes(self.tree, ast.FunctionDef, ast.ClassDef)}
        stored = [n for n in nodes(self.tree, ast.Name) if isinstance(n.ctx, ast.Store)]
        self.held = {node.arg for node in nodes(self.tree, ast.arg)} | {node.id for node in stored}
        self.held -= self.defined | source.imported.keys()
        self.tensors: dict[ast.AST, set[str]] = {}  # by function (or module), names of tensors
        for _ in range(2):  # methods use what other methods assign to self
            functions = nodes(self.tree, ast.FunctionDef)
            self.tensors = {scope: self._tensors_of(scope) for scope in (self.tree, *functions)}

    def _tensors_of(self, scope: ast.AST) -> set[str]:
        """Return the names that hold tensors in a function, or in the module."""
        names = set()
        if isinstance(scope, ast.FunctionDef):
            for arg in [*scope.args.args, *scope.args.kwonlyargs]:
                if arg.annotation and self.source.full(arg.annotation) == "torch.Tensor":
                    names.add(arg.arg)
            if scope.name == "forward":  # of a network: what comes in is a tensor
                names |= {arg.arg for arg in scope.args.args[1:2]}
        for _ in range(2):  # a loop uses what it assigns further down
            for node in nodes(scope, ast.Assign, ast.For, ast.comprehension):
                if not isinstance(node, ast.Assign):
                    names |= self._of_batches(node)
                elif self.is_tensor(node.value, names):
                    names = names.union(*map(names_in, node.targets))
        return names

    def _of_batches(self, loop: ast.For | ast.comprehension) -> set[str]:
        """Return the names that a loop over a loader gives to the tensors of a batch."""
        over, target = loop.iter, loop.target
        while isinstance(over, ast.Call) and over.args and not self._is_loader(over):
            if last_name(over.func) == "enumerate" and isinstance(target, ast.Tuple):
                target = target.elts[-1]
            over = over.args[0]  # enumerate(loader), tqdm(loader)
        return names_in(target) if self._is_loader(over) else set()

    def _is_loader(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            return self.source.full(node.func).endswith("DataLoader")
        if isinstance(node, ast.Subscript):  # loaders["train"]
            return "loader" in last_name(node.value).lower()
        name = last_name(node).lower()
        return "loader" in name and not name.endswith("s")

    def _is_held(self, func: ast.AST) -> bool:
        """Say whether a call is of what a variable or self holds."""
        return func.id in self.held if isinstance(func, ast.Name) else bool(written(func))

    def _makes_tensor(self, func: ast.AST) -> bool:
        """Say whether a call is of a transform that gives a tensor."""
        full = self.source.full(func.func if isinstance(func, ast.Call) else func)
        if full.startswith("torchvision.transforms."):
            last = full.rpartition(".")[2]
            return last in TO_TENSOR and isinstance(func, ast.Call) == last[0].isupper()
        return self.to_tensor and self._is_held(func) and "transform" in last_name(func).lower()

    def _around(self, node: ast.AST, kind: type) -> ast.AST:
        """Return the innermost node of a kind around a node, or the module."""
        while node is not self.tree and not isinstance(node, kind):
            node = node.parent
        return node

    def is_tensor(self, node: ast.AST, known: set[str] | None = None) -> bool:
        """Say whether an expression is surely a tensor; `known` names are, else its scope's."""
        if known is None:
            known = self.tensors.get(self._around(node, ast.FunctionDef), set())
        if isinstance(node, ast.Name):
            return node.id in known
        if isinstance(node, ast.Attribute):
            name, around = written(node), self._around(node, ast.ClassDef)
            # What other methods of the class assign to self.
            inner = [self.tensors.get(s, ()) for s in ast.walk(around) if s != self.tree]
            return name in known or (bool(name) and any(name in names for names in inner))
        if isinstance(node, ast.Call):
            return self._returns_tensor(node, known)
        if isinstance(node, ast.Subscript):
            return self.is_tensor(node.value, known)
        computes = isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare))
        is_not = isinstance(getattr(node, "op", None), ast.Not)
        return computes and not is_not and self.has_tensor(node, known)

    def has_tensor(self, node: ast.AST, known: set[str] | None = None) -> bool:
        """Say whether an operand of an operation or a comparison is surely a tensor."""
        parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        return any(self.is_tensor(part, known) for part in parts)

    def _returns_tensor(self, call: ast.Call, known: set[str]) -> bool:
        func, full = call.func, self.source.full(call.func)
        if full.startswith("torch."):
            last = full.rpartition(".")[2]
            one_level = full.count(".") == 1 or full.startswith("torch.nn.functional.")
            return one_level and last[0].islower() and last not in OF_TORCH.split()
        if self._makes_tensor(func):
            return True
        is_network = self._is_held(func) and last_name(func) not in self.defined  # or a loss
        if is_network and any(self.is_tensor(argument, known) for argument in call.args):
            return True
        is_method = isinstance(func, ast.Attribute) and func.attr not in NO_TENSORS
        return is_method and self.is_tensor(func.value, known)

    def is_mask(self, node: ast.AST) -> bool:
        """Say whether an expression is a comparison of tensors."""
        ordered = isinstance(node, ast.Compare) and isinstance(node.ops[0], ORDER)
        return ordered and self.is_tensor(node)


def written(node: ast.AST) -> str:
    """Return self.x as it is written; of other attributes nothing."""
    is_of_self = isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "self"
    return f"self.{node.attr}" if is_of_self else ""


def names_in(target: ast.AST) -> set[str]:
    """Return what an assignment's target names: variables, and attributes of self."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return set().union(*map(names_in, target.elts))
    if isinstance(target, (ast.Starred, ast.Subscript)):
        return names_in(target.value)
    return {target.id} if isinstance(target, ast.Name) else {written(target)} - {""}


def boards(look: Look) -> Places:
    fix = "log by visualdl.LogWriter, or take the board out before the conversion"
    for node in nodes(look.tree, ast.Import, ast.ImportFrom):
        is_from = isinstance(node, ast.ImportFrom)
        modules = [node.module] if is_from else [alias.name for alias in node.names]
        if any(module and module.startswith(BOARDS) for module in modules):
            yield Place(node, "TensorBoard", fix)


def bitwise(look: Look) -> Places:
    in_notes = {node for note in notes(look.tree) for node in ast.walk(note)}
    for node in nodes(look.tree, ast.BinOp, ast.AugAssign, ast.UnaryOp):
        word = BITWISE.get(type(node.op))
        if word and node not in in_notes and look.has_tensor(node):
            what, operands, masks = "a bitwise operator on tensors", "a, b", "both are masks"
            if isinstance(node, ast.UnaryOp):
                what, operands, masks = "a bitwise operator on a tensor", "a", "it is a mask"
            assigned = "a = " if isinstance(node, ast.AugAssign) else ""
            yield Place(node, what, f"write {assigned}torch.{word}({operands}) where {masks}")


def datasets(look: Look) -> Places:
    for node in nodes(look.tree, ast.ClassDef):
        if is_dataset(node) and all(last_name(base) == "object" for base in node.bases):
            fix = f"write class {node.name}(torch.utils.data.Dataset): Paddle asks for its own"
            yield Place(node, "a data set without its base class", fix)


def downloads(look: Look) -> Places:
    fix = "fetch the file beforehand and convert it by --pretrained"
    for node in nodes(look.tree, ast.Call):
        full = look.source.full(node.func)
        weights = [w.value for w in node.keywords if w.arg in ("pretrained", "weights")]
        weights += [arg for arg in node.args if getattr(arg, "value", None) is True]
        of_models = full.startswith("torchvision.models.") or full == "timm.create_model"
        if full in LOADS.split() or (of_models and not all(map(is_false, weights))):
            yield Place(node, f"{full}() fetches weights", fix)


def numbers(look: Look) -> Places:
    fix = "compare with torch.tensor(number), or the tensor's .item() with the number"
    for node in nodes(look.tree, ast.Compare):
        unsigned = [getattr(end, "operand", end) for end in (node.left, *node.comparators)]
        constants = [end.value for end in unsigned if isinstance(end, ast.Constant)]
        has_number = any(isinstance(constant, (int, float)) for constant in constants)
        if has_number and look.has_tensor(node):
            yield Place(node, "a tensor compared with a number", fix)


def samples(look: Look) -> Places:
    """Tensors that __getitem__ returns go through Paddle's workers one by one."""
    fix = "return NumPy arrays and numbers; the loader makes the tensors"
    for node in nodes(look.tree, ast.ClassDef):
        method = methods(node).get("__getitem__")
        if method is None:
            continue
        returns = [node for node in nodes(method, ast.Return) if _has_tensor(look, node.value)]
        if not returns and method.returns is not None:  # made elsewhere; the annotation says so
            names = map(look.source.full, ast.walk(method.returns))
            returns = [method] if "torch.Tensor" in names else []
        for statement in returns:
            yield Place(statement, "__getitem__ returns a tensor", fix)


def _has_tensor(look: Look, value: ast.AST | None) -> bool:
    """Say whether a value is a tensor, or a tuple, a list or a dict with one."""
    if isinstance(value, (ast.Tuple, ast.List, ast.Dict)):
        parts = value.values if isinstance(value, ast.Dict) else value.elts
        return any(_has_tensor(look, part) for part in parts)
    return value is not None and look.is_tensor(value)


def casts(look: Look) -> Places:
    """Arithmetic and means of masks, and masks of bytes: Paddle wants the type said."""
    for node in nodes(look.tree, ast.BinOp, ast.Call):
        if isinstance(node, ast.BinOp):
            is_arithmetic = isinstance(node.op, (ast.Sub, ast.Mult, ast.Div))
            if is_arithmetic and any(map(look.is_mask, (node.left, node.right))):
                fix = "write (a == b).float(), or .long(), before the arithmetic"
                yield Place(node, "arithmetic with a comparison", fix)
        elif is_method(node, "byte") and look.is_tensor(node.func.value):
            fix = "write .bool(): a mask of bytes is taken for indices"
            yield Place(node, "a mask of bytes", fix)
        elif is_method(node, "mean") and look.is_mask(node.func.value):
            fix = "write (a == b).float().mean(): the mean of a mask is a mask in Paddle"
            yield Place(node, "the mean of a comparison", fix)


def workers(look: Look) -> Places:
    """Workers of a loader, where the data set puts its tensors on a GPU."""
    what = "num_workers with tensors on a GPU in the data set"
    fix = "move batches to the GPU in the training loop, or set num_workers=0"
    for node in nodes(look.tree, ast.Call):
        counts = [word.value for word in node.keywords if word.arg == "num_workers"]
        is_loader = look.source.full(node.func).endswith("DataLoader")
        if is_loader and not all(map(is_false, counts)):
            yield Place(node, what, fix)


def _moves(source: Source) -> bool:
    """Say whether a data set of a file puts tensors on a device."""
    classes = [node for node in nodes(source.tree, ast.ClassDef) if "__getitem__" in methods(node)]
    return any(_moves_by(call, source) for node in classes for call in nodes(node, ast.Call))


def _moves_by(call: ast.Call, source: Source) -> bool:
    """Say whether a call is x.cuda(), x.to(device), or one of torch's with a device."""
    devices = [word.value for word in call.keywords if word.arg == "device"]
    if is_method(call, "to"):
        devices += call.args[:1]
    for device in devices:
        full = source.full(device)
        is_type = full.startswith("torch.") and full != "torch.device"  # x.to(torch.float32)
        is_cpu = isinstance(device, ast.Constant) and device.value in ("cpu", None)
        if not is_type and not is_cpu:
            return True
    return is_method(call, "cuda")


def shell(folder: Path) -> Iterator[Finding]:
    what, fix = "a file of weights", "ends in .pdparams after the conversion, which exchanges it"
    for path in shell_scripts(folder):
        file = str(path.relative_to(folder))
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if with_endings(line) != line:
                yield Finding(file, number, what, fix, rule="shell")
