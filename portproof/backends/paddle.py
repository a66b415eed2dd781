"""What the worker asks of PaddlePaddle; mirror of torch.py."""

from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np

from portproof.system import processor

with processor.paddle_settings():  # they count only if they stand before the first import
    import paddle

from paddle import nn

framework = paddle
VERSION = paddle.__version__
Module = nn.Layer
Tensor = paddle.Tensor
Optimizer = paddle.optimizer.Optimizer
Schedule = paddle.optimizer.lr.LRScheduler
MODULE_CLASS = "nn.Layer"
LAYERS = "paddle.nn.layer"  # where the framework's own classes of layers are defined
CONTAINERS = (nn.Sequential, nn.LayerList, nn.LayerDict, nn.ParameterList, nn.ParameterDict)
seed = paddle.seed  # of the framework's own generator
clear_gradients = methodcaller("clear_grad")  # of what an optimizer updates
learning_rate = methodcaller("get_lr")  # of an optimizer's next step
# Within, a network is made of which only the shapes are wanted. Making one may raise anything.
without_values = paddle.LazyGuard
CAN_RUN_EMPTY = False  # what is made without values
# Within, parameters are named as in a new process: an optimizer's state goes by these names.
# https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/utils/unique_name/guard_en.html
names_from_the_first = paddle.utils.unique_name.guard


def is_frameworks_code(file: str) -> bool:
    """Say whether a file of source code is the framework's; its library of models is not."""
    folder = str(Path(paddle.__file__).parent)
    return file.startswith(folder + "/") and not file.startswith(folder + "/vision/")


def to_numpy(tensor: paddle.Tensor) -> np.ndarray:
    """Return the tensor's values; later steps change them."""
    return np.from_dlpack(tensor.detach().cpu())


def to_tensor(array: np.ndarray) -> paddle.Tensor:
    """Return an array as a tensor on the CPU."""
    return paddle.to_tensor(np.ascontiguousarray(array))


def layout(layer: nn.Layer | None) -> str | None:
    """Return how a fully connected layer keeps its weight; a square one does not show it."""
    if isinstance(layer, paddle.compat.nn.Linear):  # keeps torch's ways
        return "out, in"
    return "in, out" if isinstance(layer, nn.Linear) else None


def running_statistics(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """Return the running statistics of normalization layers."""
    entries = model.state_dict().items()  # Paddle counts them among the parameters
    return {name: entry for name, entry in entries if name.endswith(("._mean", "._variance"))}


def cast(model: nn.Layer, dtype: str) -> None:
    """Turn a network's floating-point tensors into `dtype`."""
    model._to_impl(dtype=dtype, floating_only=True)  # Layer.to casts whole numbers too


def on_update(optimizer: Any, before: Callable[[], None]) -> Callable[[], None]:
    """Call before() at the start of each optimizer.step(); return what ends that."""
    update = optimizer.step  # Paddle has no hooks for it

    def step(*arguments, **options):
        before()
        return update(*arguments, **options)

    optimizer.step = step
    return lambda: setattr(optimizer, "step", update)


class Touch(paddle.autograd.PyLayer):
    """Zeros [shape] in which every parameter has a part: each gets a gradient of 0, at no cost."""

    @staticmethod
    def forward(ctx, shape, *parameters):
        ctx.save_for_backward(*parameters)
        return paddle.zeros(shape, parameters[0].dtype)

    @staticmethod
    def backward(ctx, gradient):
        return tuple(paddle.zeros_like(parameter) for parameter in ctx.saved_tensor())


def trained_by(optimizer: Any) -> list[paddle.Tensor]:
    """Return the parameters that an optimizer updates."""
    groups = optimizer._parameter_list
    return [v for g in groups for v in (g["params"] if isinstance(g, dict) else [g])]


def optimizer_state(model: nn.Layer, optimizer: Any) -> dict[str, paddle.Tensor]:
    """Return the optimizer's tensors, as "parameter velocity" and the like."""
    kept = {}
    names = {param.name: (name, param.shape) for name, param in model.named_parameters()}
    for key, tensor in optimizer.state_dict().items():
        of = max((name for name in names if key.startswith(name + "_")), key=len, default=None)
        if of is not None and tensor.shape == names[of][1]:
            role = key[len(of) + 1 :].rpartition("_")[0]  # conv2d_0.w_0_velocity_0
            kept[f"{names[of][0]} {role}"] = tensor
    return kept


def dropout_by(mask: Callable[[list[int], float], np.ndarray], note: Callable) -> Callable:
    """Return a dropout that keeps what mask(shape, p) says, and tells note(call) of each call.

    https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/Dropout_en.html
    """

    def dropout(
        x, p=0.5, axis=None, training=True, inplace=False, mode="upscale_in_train", name=None
    ):
        note({"p": p, "training": training, "mode": mode})
        upscale = mode == "upscale_in_train"
        if not training or not p:
            return x if upscale or training else x * (1 - p)
        axes = range(x.ndim) if axis is None else np.atleast_1d(axis).tolist()
        keep = mask([size if n in axes else 1 for n, size in enumerate(x.shape)], p)
        return x * (paddle.to_tensor(keep).astype(x.dtype) / (max(1 - p, 1e-300) if upscale else 1))

    return dropout
