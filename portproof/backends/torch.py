"""What the worker asks of PyTorch; mirror of paddle.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from portproof.backends.functions import replaced_everywhere
from portproof.files import state as state_files
from portproof.system.errors import UserError, first_line
from portproof.weights.tensors import Tensor as BitTensor
from portproof.weights.tensors import Tensors

NAME = "PyTorch"
VERSION = torch.__version__
Module = nn.Module
Tensor = torch.Tensor
MODULE_CLASS = "nn.Module"
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
# The dtypes of weights, by their names in safetensors.
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
# What the optimizers of this framework keep, by the names that Paddle has for it.
ROLES = {
    "momentum_buffer": "velocity",
    "exp_avg": "moment1",
    "exp_avg_sq": "moment2",
    "square_avg": "mean_square",
    "grad_avg": "mean_grad",
}


def is_frameworks_code(file: str) -> bool:
    """Say whether a file of source code is the framework's."""
    return file.startswith(str(Path(torch.__file__).parent) + "/")


# ---- tensors ----


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return the tensor's values; later steps change them."""
    return tensor.detach().cpu().numpy()


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor on the CPU."""
    return torch.from_numpy(np.ascontiguousarray(array))


def leaf(array: np.ndarray) -> torch.Tensor:
    """Return a tensor that gets a gradient."""
    return torch.tensor(array, requires_grad=True)


@contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """Within, networks are made in `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def seed(number: int) -> None:
    """Seed the framework's own generator."""
    torch.manual_seed(number)


def names_from_the_first() -> AbstractContextManager:
    """Within, parameters are named as in a new process; here they have no names of their own."""
    return nullcontext()


def no_grad() -> AbstractContextManager:
    """Return a context in which no gradients are kept."""
    return torch.no_grad()


# ---- a network and its layers ----


def named_layers(model: nn.Module, duplicates: bool = False) -> dict[str, nn.Module]:
    """Return every layer by its path; with `duplicates` a shared one by each of its paths."""
    return dict(model.named_modules(remove_duplicate=not duplicates))


def is_frameworks(layer: nn.Module) -> bool:
    """Say whether a layer's class is one of the framework's."""
    return type(layer).__module__.startswith("torch.nn.modules")


def kind(layer: nn.Module) -> str:
    """Return the name of the framework's class that `layer` is or derives from; else its own."""
    for cls in type(layer).__mro__:
        if cls.__module__.startswith("torch.nn.modules") and cls is not nn.Module:
            return cls.__name__
    return type(layer).__name__


def layout(layer: nn.Module | None) -> str | None:
    """Return how a fully connected layer keeps its weight; a square one does not show it."""
    return "out, in" if isinstance(layer, nn.Linear) else None


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of the state dict, the parameters themselves among them."""
    kept = model.state_dict(keep_vars=True)
    return {key: value for key, value in kept.items() if isinstance(value, torch.Tensor)}


def buffer_names(model: nn.Module) -> set[str]:
    """Return the keys of the state dict that are no parameters."""
    return {name for name, _ in model.named_buffers()}


def parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters by name."""
    return dict(model.named_parameters())


def gradient(parameter: torch.Tensor) -> torch.Tensor | None:
    """Return a parameter's gradient, None where it has none."""
    return parameter.grad


def running_statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the running statistics of normalization layers."""
    return {name: value for name, value in model.named_buffers() if value.is_floating_point()}


def transposed(model: nn.Module) -> set[str]:
    """Return the parameters that lie as [in, out]."""
    layers = model.named_modules()
    return {f"{path}.weight" for path, layer in layers if layout(layer) == "in, out"}


def cast(model: nn.Module, dtype: str) -> None:
    """Turn a network's floating-point tensors into `dtype`."""
    model.to(getattr(torch, dtype))


def load_state(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load these tensors and leave the others of the model as they are."""
    model.load_state_dict(weights, strict=False)


def to_default(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in the dtype in which networks are made."""
    return tensor.to(torch.get_default_dtype())


def clear_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Take the gradients of what an optimizer updates away."""
    optimizer.zero_grad()


def is_floating(tensor: torch.Tensor) -> bool:
    """Say whether a tensor holds floating-point numbers."""
    return tensor.is_floating_point()


@torch.no_grad()
def set_zero(model: nn.Module) -> None:
    """Set every parameter to 0."""
    for value in model.parameters():
        value.zero_()


def make_empty(make: Callable[[], nn.Module]) -> nn.Module:
    """Return make(), of which only the shapes are wanted: without values. May raise anything."""
    with torch.device("meta"):
        return make()


def run_empty(model: nn.Module, shape: list[int], dtype: str, run: Callable) -> Any:
    """Return run(model, inputs) without computing values; None where that is not possible."""
    with torch.device("meta"):
        return run(model, torch.zeros(shape, dtype=getattr(torch, dtype)))


def identity() -> nn.Module:
    """Return a network that gives what it is given."""
    return nn.Identity()


@contextmanager
def noting_made(note: Callable[[Any], None]) -> Iterator[None]:
    """Within, call note(object) at the start of __init__ of layers, optimizers and schedules."""
    originals = [
        (cls, cls.__init__)
        for cls in (nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    ]

    def noting(original: Callable) -> Callable:
        def make(self, *arguments, **options):
            note(self)
            original(self, *arguments, **options)

        return make

    for cls, original in originals:
        cls.__init__ = noting(original)
    try:
        yield
    finally:
        for cls, original in originals:
            cls.__init__ = original


def role(made: Any) -> str:
    """Return what an object serves for: optimizer, schedule, loss, parallel or layer."""
    if isinstance(made, torch.optim.Optimizer):
        return "optimizer"
    if isinstance(made, torch.optim.lr_scheduler.LRScheduler):
        return "schedule"
    name = kind(made)
    return "loss" if name.endswith("Loss") else "parallel" if "Parallel" in name else "layer"


# ---- files of weights ----


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a file of this framework, on the CPU, mapped where that can be.

    Nothing in the file is run. Raises UserError on a bad file.
    """
    state_files.check_suffix(path, ".pth")
    try:
        mapped = state_files.is_plain_zip(path)
        state_files.check_torch_file(path)
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(
            f"{path}: cannot be loaded ({first_line(error)}); it is damaged, of another "
            "kind, or holds more than weights, which is refused because it could run code"
        ) from error
    entry = state_files.model_entry(path, contents)
    weights = state_files.only_tensors(path, entry, torch.Tensor)
    for name, value in weights.items():
        if value.layout is not torch.strided or value.is_quantized:
            raise UserError(f"{path}: {name} is sparse or quantized; give plain tensors")
    return weights


def write_weights(path: Path, weights: Tensors) -> None:
    """Write weights as a file of this framework. Raises OSError or RuntimeError."""
    with open(path, "wb") as file:
        torch.save({name: from_bits(value) for name, value in weights.items()}, file)


def to_bits(tensor: torch.Tensor) -> BitTensor:
    """Return a tensor as NumPy holds it; a bfloat16 by its bits.

    Raises UserError for a dtype that weights do not have.
    """
    if tensor.dtype not in DTYPES:
        raise UserError(f"its dtype {tensor.dtype} is none that weights have")
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return BitTensor("BF16", tensor.view(torch.int16).numpy().view(np.uint16))
    return BitTensor(DTYPES[tensor.dtype], tensor.numpy())


def from_bits(value: BitTensor) -> torch.Tensor:
    """Return a tensor of the dtype that its file has."""
    array = np.array(value.array)  # a copy, which may be written to
    if value.dtype == "BF16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


# ---- hooks: on objects that are handed over; each returns what removes it ----


def on_layer(layer: nn.Module, before: Callable, after: Callable) -> Callable[[], None]:
    """Call before(inputs) and after(outputs) around each call of a layer.

    What `after` returns takes the place of the outputs, unless it is None.
    """
    handles = [
        layer.register_forward_pre_hook(lambda module, inputs: before(inputs)),
        layer.register_forward_hook(lambda module, inputs, outputs: after(outputs)),
    ]
    return lambda: [handle.remove() for handle in handles]


def on_update(optimizer: Any, before: Callable[[], None], after: Callable[[], None]) -> Callable:
    """Call before() and after() around each optimizer.step()."""
    handles = [
        optimizer.register_step_pre_hook(lambda *arguments: before()),
        optimizer.register_step_post_hook(lambda *arguments: after()),
    ]
    return lambda: [handle.remove() for handle in handles]


def on_backward(before: Callable[[], None]) -> Callable[[], None]:
    """Call before() at each backward pass; the framework's own method is wrapped."""
    original = torch.Tensor.backward

    def backward(self, *arguments, **options):
        before()
        return original(self, *arguments, **options)

    torch.Tensor.backward = backward
    return lambda: setattr(torch.Tensor, "backward", original)


def give_gradients(
    parameters: dict[str, torch.Tensor], gradient_of: Callable[[str], torch.Tensor]
) -> Callable[[], None]:
    """Have each backward pass add gradient_of(name) to a parameter's gradient, not its own."""
    handles = [
        value.register_hook(lambda gradient, name=name: gradient_of(name))
        for name, value in parameters.items()
        if value.requires_grad
    ]
    return lambda: [handle.remove() for handle in handles]


def stand_in(model: nn.Module, forward: Callable) -> Callable[[], None]:
    """Have this one model compute forward(inputs) in place of its own layers."""
    model.forward = forward
    return lambda: delattr(model, "forward")


def touch_all(parameters: list[torch.Tensor], shape: list[int]) -> torch.Tensor:
    """Return outputs of this shape that every parameter has a (zero) part in, at no cost."""
    return Touch.apply(shape, *(value for value in parameters if value.requires_grad))


class Touch(torch.autograd.Function):
    """Outputs of 0 whose backward pass gives each parameter a gradient of 0, without computing."""

    @staticmethod
    def forward(ctx, shape, *parameters):
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(shape)

    @staticmethod
    def backward(ctx, gradient):
        return None, *(value.new_zeros(()).expand(value.shape) for value in ctx.saved_tensors)


# ---- optimizers ----


def trained_by(optimizer: Any) -> list[torch.Tensor]:
    """Return the parameters that an optimizer updates."""
    return [value for group in optimizer.param_groups for value in group["params"]]


def learning_rate(optimizer: Any) -> float:
    """Return the rate of the next step."""
    return optimizer.param_groups[0]["lr"]


def optimizer_state(model: nn.Module, optimizer: Any) -> dict[str, torch.Tensor]:
    """Return the optimizer's tensors, as "parameter velocity" and the like."""
    return {
        f"{name} {ROLES.get(role, role)}": tensor
        for name, value in model.named_parameters()
        for role, tensor in optimizer.state.get(value, {}).items()
        if isinstance(tensor, torch.Tensor) and tensor.shape == value.shape
    }


# ---- the framework's own functions, exchanged within ----


@contextmanager
def shared_dropout(
    mask: Callable[[list[int], float], np.ndarray], note: Callable[[dict], None]
) -> Iterator[None]:
    """Within, every dropout keeps what mask(shape, p) says; note(call) is told of each.

    https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
    """
    original = F.dropout

    def dropout(input, p=0.5, training=True, inplace=False):
        note({"p": p, "training": training, "mode": "upscale_in_train"})
        if not training or not p:
            return input
        keep = mask(list(input.shape), p)
        factor = torch.from_numpy(keep).to(input.device, input.dtype) / max(1 - p, 1e-300)
        return input.mul_(factor) if inplace else input * factor

    with replaced_everywhere([(original, dropout)]):
        yield
