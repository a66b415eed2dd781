"""What the worker asks of PyTorch; mirror of paddle.py."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from portproof.files import state
from portproof.system.errors import UserError
from portproof.weights import tensors

framework = torch
VERSION = torch.__version__
Module = nn.Module
Tensor = torch.Tensor
Optimizer = torch.optim.Optimizer
Schedule = torch.optim.lr_scheduler.LRScheduler
MODULE_CLASS = "nn.Module"
LAYERS = "torch.nn.modules"  # where the framework's own classes of layers are defined
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
seed = torch.manual_seed  # of the framework's own generator
clear_gradients = methodcaller("zero_grad")  # of what an optimizer updates
# Within, a network is made of which only the shapes are wanted. Making one may raise anything.
without_values = partial(torch.device, "meta")
CAN_RUN_EMPTY = True  # what is made without values
# Within, parameters are named as in a new process; here they have no names of their own.
names_from_the_first = nullcontext
# The dtypes of weights, by their names in safetensors.
DTYPES = {
    getattr(torch, "bfloat16" if name == "BF16" else of_numpy): name
    for name, of_numpy in tensors.DTYPES.items()
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


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return the tensor's values; later steps change them."""
    return tensor.detach().cpu().numpy()


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor on the CPU."""
    return torch.from_numpy(np.ascontiguousarray(array))


def layout(layer: nn.Module | None) -> str | None:
    """Return how a fully connected layer keeps its weight; a square one does not show it."""
    return "out, in" if isinstance(layer, nn.Linear) else None


def running_statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the running statistics of normalization layers."""
    buffers = model.named_buffers()
    return {name: buffer for name, buffer in buffers if buffer.is_floating_point()}


def cast(model: nn.Module, dtype: str) -> None:
    """Turn a network's floating-point tensors into `dtype`."""
    model.to(getattr(torch, dtype))


# ---- files of weights ----


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a file, on the CPU; no code in it is run. Raises UserError."""
    state.check_suffix(path, ".pth")
    with state.opening(path):
        mapped = state.is_plain_zip(path)
        state.check_torch_file(path)
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    weights = state.only_tensors(path, state.model_entry(path, contents), torch.Tensor)
    for name, tensor in weights.items():
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise UserError(f"{path}: {name} is sparse or quantized; give plain tensors")
        if tensor.dtype not in DTYPES:
            raise UserError(f"{path}: {name}: its dtype {tensor.dtype} is none that weights have")
    return weights


def write_weights(path: Path, weights: tensors.Tensors) -> None:
    """Write weights as a file of this framework. Raises OSError or RuntimeError."""
    with open(path, "wb") as file:
        torch.save({name: from_bits(tensor) for name, tensor in weights.items()}, file)


def to_bits(tensor: torch.Tensor) -> tensors.Tensor:
    """Return one of `read_weights` as NumPy holds it; a bfloat16 by its bits."""
    kind, tensor = DTYPES[tensor.dtype], tensor.detach().cpu().contiguous()
    if kind == "BF16":
        return tensors.Tensor(kind, tensor.view(torch.int16).numpy().view(np.uint16))
    return tensors.Tensor(kind, tensor.numpy())


def from_bits(tensor: tensors.Tensor) -> torch.Tensor:
    """Return a tensor of the dtype that its file has."""
    array = np.array(tensor.array)  # a copy, which may be written to
    if tensor.dtype == "BF16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def on_update(optimizer: Any, before: Callable[[], None]) -> Callable[[], None]:
    """Call before() at the start of each optimizer.step(); return what ends that."""
    return optimizer.register_step_pre_hook(lambda *arguments: before()).remove


class Touch(torch.autograd.Function):
    """Zeros [shape] in which every parameter has a part: each gets a gradient of 0, at no cost."""

    @staticmethod
    def forward(ctx, shape, *parameters):
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(shape)

    @staticmethod
    def backward(ctx, gradient):
        return None, *(each.new_zeros(()).expand(each.shape) for each in ctx.saved_tensors)


def trained_by(optimizer: Any) -> list[torch.Tensor]:
    """Return the parameters that an optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def learning_rate(optimizer: Any) -> float:
    """Return the rate of the next step."""
    return optimizer.param_groups[0]["lr"]


def optimizer_state(model: nn.Module, optimizer: Any) -> dict[str, torch.Tensor]:
    """Return the optimizer's tensors, as "parameter velocity" and the like."""
    return {
        f"{name} {ROLES.get(role, role)}": tensor
        for name, parameter in model.named_parameters()
        for role, tensor in optimizer.state.get(parameter, {}).items()
        if isinstance(tensor, torch.Tensor) and tensor.shape == parameter.shape
    }


def dropout_by(mask: Callable[[list[int], float], np.ndarray], note: Callable) -> Callable:
    """Return a dropout that keeps what mask(shape, p) says, and tells note(call) of each call.

    https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
    """

    def dropout(input, p=0.5, training=True, inplace=False):
        note({"p": p, "training": training, "mode": "upscale_in_train"})
        if not training or not p:
            return input
        keep = mask(list(input.shape), p)
        factor = torch.from_numpy(keep).to(input.device, input.dtype) / max(1 - p, 1e-300)
        return input.mul_(factor) if inplace else input * factor

    return dropout
