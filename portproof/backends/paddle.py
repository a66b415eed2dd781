"""What the worker asks of PaddlePaddle; mirror of torch.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from portproof.backends.functions import replaced_everywhere
from portproof.system import processor

with processor.paddle_settings():  # they count only if they stand before the first import
    import paddle

from paddle import nn
from paddle.nn import functional as F

NAME = "PaddlePaddle"
VERSION = paddle.__version__
Module = nn.Layer
Tensor = paddle.Tensor
MODULE_CLASS = "nn.Layer"
CONTAINERS = (nn.Sequential, nn.LayerList, nn.LayerDict, nn.ParameterList, nn.ParameterDict)


def is_frameworks_code(file: str) -> bool:
    """Say whether a file of source code is the framework's; its library of models is not."""
    folder = str(Path(paddle.__file__).parent)
    return file.startswith(folder + "/") and not file.startswith(folder + "/vision/")


# ---- tensors ----


def to_numpy(tensor: paddle.Tensor) -> np.ndarray:
    """Return the tensor's values; later steps change them."""
    return np.from_dlpack(tensor.detach().cpu())


def to_tensor(array: np.ndarray) -> paddle.Tensor:
    """Return an array as a tensor on the CPU."""
    return paddle.to_tensor(np.ascontiguousarray(array))


def leaf(array: np.ndarray) -> paddle.Tensor:
    """Return a tensor that gets a gradient."""
    return paddle.to_tensor(array, stop_gradient=False)


@contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """Within, networks are made in `dtype`."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        yield
    finally:
        paddle.set_default_dtype(before)


def seed(number: int) -> None:
    """Seed the framework's own generator."""
    paddle.seed(number)


def names_from_the_first() -> AbstractContextManager:
    """Within, parameters are named as in a new process: an optimizer's state goes by these names.

    https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/utils/unique_name/guard_en.html
    """
    return paddle.utils.unique_name.guard()


def no_grad() -> AbstractContextManager:
    """Return a context in which no gradients are kept."""
    return paddle.no_grad()


# ---- a network and its layers ----


def named_layers(model: nn.Layer, duplicates: bool = False) -> dict[str, nn.Layer]:
    """Return every layer by its path; with `duplicates` a shared one by each of its paths."""
    return dict(model.named_sublayers(include_self=True, remove_duplicate=not duplicates))


def is_frameworks(layer: nn.Layer) -> bool:
    """Say whether a layer's class is one of the framework's."""
    return type(layer).__module__.startswith("paddle.nn.layer")


def kind(layer: nn.Layer) -> str:
    """Return the name of the framework's class that `layer` is or derives from; else its own."""
    for cls in type(layer).__mro__:
        if cls.__module__.startswith("paddle.nn.layer") and cls is not nn.Layer:
            return cls.__name__
    return type(layer).__name__


def layout(layer: nn.Layer | None) -> str | None:
    """Return how a fully connected layer keeps its weight; a square one does not show it."""
    if isinstance(layer, paddle.compat.nn.Linear):  # keeps torch's ways
        return "out, in"
    return "in, out" if isinstance(layer, nn.Linear) else None


def state(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """Return the tensors of the state dict, the parameters themselves among them."""
    kept = model.state_dict()
    return {key: value for key, value in kept.items() if isinstance(value, paddle.Tensor)}


def buffer_names(model: nn.Layer) -> set[str]:
    """Return the keys of the state dict that are no parameters."""
    return {name for name, _ in model.named_buffers()}


def parameters(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """Return the parameters by name."""
    return dict(model.named_parameters())


def gradient(parameter: paddle.Tensor) -> paddle.Tensor | None:
    """Return a parameter's gradient, None where it has none."""
    return parameter.grad


def running_statistics(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """Return the running statistics of normalization layers."""
    kept = model.state_dict().items()  # Paddle counts them among the parameters
    return {name: value for name, value in kept if name.endswith(("._mean", "._variance"))}


def transposed(model: nn.Layer) -> set[str]:
    """Return the parameters that lie as [in, out]."""
    layers = model.named_sublayers(include_self=True)
    return {f"{path}.weight" for path, layer in layers if layout(layer) == "in, out"}


def cast(model: nn.Layer, dtype: str) -> None:
    """Turn a network's floating-point tensors into `dtype`."""
    model._to_impl(dtype=dtype, floating_only=True)  # Layer.to casts whole numbers too


def load_state(model: nn.Layer, weights: dict[str, paddle.Tensor]) -> None:
    """Load these tensors and leave the others of the model as they are."""
    model.set_state_dict(weights)


def to_default(tensor: paddle.Tensor) -> paddle.Tensor:
    """Return a tensor in the dtype in which networks are made."""
    return tensor.astype(paddle.get_default_dtype())


def clear_gradients(optimizer: paddle.optimizer.Optimizer) -> None:
    """Take the gradients of what an optimizer updates away."""
    optimizer.clear_grad()


def is_floating(tensor: paddle.Tensor) -> bool:
    """Say whether a tensor holds floating-point numbers."""
    return tensor.is_floating_point()


@paddle.no_grad()
def set_zero(model: nn.Layer) -> None:
    """Set every parameter to 0."""
    for value in model.parameters():
        value.zero_()


def make_empty(make: Callable[[], nn.Layer]) -> nn.Layer:
    """Return make(), of which only the shapes are wanted: without values. May raise anything."""
    with paddle.LazyGuard():
        return make()


def run_empty(model: nn.Layer, shape: list[int], dtype: str, run: Callable) -> Any:
    """Return run(model, inputs) without computing values; None where that is not possible."""
    return None  # what LazyGuard makes cannot run


def identity() -> nn.Layer:
    """Return a network that gives what it is given."""
    return nn.Identity()


@contextmanager
def noting_made(note: Callable[[Any], None]) -> Iterator[None]:
    """Within, call note(object) at the start of __init__ of layers, optimizers and schedules."""
    originals = [
        (cls, cls.__init__)
        for cls in (nn.Layer, paddle.optimizer.Optimizer, paddle.optimizer.lr.LRScheduler)
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
    if isinstance(made, paddle.optimizer.Optimizer):
        return "optimizer"
    if isinstance(made, paddle.optimizer.lr.LRScheduler):
        return "schedule"
    name = kind(made)
    return "loss" if name.endswith("Loss") else "parallel" if "Parallel" in name else "layer"


# ---- hooks: on objects that are handed over; each returns what removes it ----


def on_layer(layer: nn.Layer, before: Callable, after: Callable) -> Callable[[], None]:
    """Call before(inputs) and after(outputs) around each call of a layer.

    What `after` returns takes the place of the outputs, unless it is None.
    """
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: before(inputs)),
        layer.register_forward_post_hook(lambda layer, inputs, outputs: after(outputs)),
    ]
    return lambda: [handle.remove() for handle in handles]


def on_update(optimizer: Any, before: Callable[[], None], after: Callable[[], None]) -> Callable:
    """Call before() and after() around each optimizer.step(); Paddle has no hooks for it.

    Such calls may be nested, and are taken off in reverse.
    """
    update, replaced = optimizer.step, vars(optimizer).get("step")

    def step(*arguments, **options):
        before()
        result = update(*arguments, **options)
        after()
        return result

    def remove() -> None:
        if replaced is None:
            del optimizer.step
        else:
            optimizer.step = replaced

    optimizer.step = step
    return remove


def on_backward(before: Callable[[], None]) -> Callable[[], None]:
    """Call before() at each backward pass; the framework's own method is wrapped."""
    original = paddle.Tensor.backward

    def backward(self, *arguments, **options):
        before()
        return original(self, *arguments, **options)

    paddle.Tensor.backward = backward
    return lambda: setattr(paddle.Tensor, "backward", original)


def give_gradients(
    parameters: dict[str, paddle.Tensor], gradient_of: Callable[[str], paddle.Tensor]
) -> Callable[[], None]:
    """Have each backward pass add gradient_of(name) to a parameter's gradient, not its own."""
    handles = [
        value.register_hook(lambda gradient, name=name: gradient_of(name))
        for name, value in parameters.items()
        if not value.stop_gradient
    ]
    return lambda: [handle.remove() for handle in handles]


def stand_in(model: nn.Layer, forward: Callable) -> Callable[[], None]:
    """Have this one model compute forward(inputs) in place of its own layers."""
    model.forward = forward
    return lambda: delattr(model, "forward")


def touch_all(parameters: list[paddle.Tensor], shape: list[int]) -> paddle.Tensor:
    """Return outputs of this shape that every parameter has a (zero) part in, at no cost."""
    return Touch.apply(shape, *(value for value in parameters if not value.stop_gradient))


class Touch(paddle.autograd.PyLayer):
    """Outputs of 0 whose backward pass gives each parameter a gradient of 0, without computing."""

    @staticmethod
    def forward(ctx, shape, *parameters):
        ctx.save_for_backward(*parameters)
        return paddle.zeros(shape, parameters[0].dtype)

    @staticmethod
    def backward(ctx, gradient):
        return tuple(paddle.zeros_like(value) for value in ctx.saved_tensor())


# ---- optimizers ----


def trained_by(optimizer: Any) -> list[paddle.Tensor]:
    """Return the parameters that an optimizer updates."""
    groups = optimizer._parameter_list
    return [v for g in groups for v in (g["params"] if isinstance(g, dict) else [g])]


def learning_rate(optimizer: Any) -> float:
    """Return the rate of the next step."""
    return optimizer.get_lr()


def optimizer_state(model: nn.Layer, optimizer: Any) -> dict[str, paddle.Tensor]:
    """Return the optimizer's tensors, as "parameter velocity" and the like."""
    kept = {}
    names = {value.name: (name, list(value.shape)) for name, value in model.named_parameters()}
    for key, tensor in optimizer.state_dict().items():
        of = max((name for name in names if key.startswith(name + "_")), key=len, default=None)
        if of is not None and list(tensor.shape) == names[of][1]:
            role = key[len(of) + 1 :].rpartition("_")[0]  # conv2d_0.w_0_velocity_0
            kept[f"{names[of][0]} {role}"] = tensor
    return kept


# ---- the framework's own functions, exchanged within ----


@contextmanager
def shared_dropout(
    mask: Callable[[list[int], float], np.ndarray], note: Callable[[dict], None]
) -> Iterator[None]:
    """Within, every dropout keeps what mask(shape, p) says; note(call) is told of each.

    https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/Dropout_en.html
    """
    original = F.dropout

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

    with replaced_everywhere([(original, dropout)]):
        yield
