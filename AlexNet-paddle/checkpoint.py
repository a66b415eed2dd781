"""Checkpoints: a run as it stands after a step. Loading one runs no code that it may carry."""

from pathlib import Path
from typing import Any

import paddle
from paddle import nn
from safetensors.numpy import load_file

from common.training import model_files
from portproof.files import pickles, state

SUFFIX = ".pdparams"


def save(path: Path, contents: dict[str, Any]) -> None:
    """Write `contents` to a file; checkpoint_files.py replaces it atomically and names it."""
    paddle.save(contents, str(path))


def pack(trainer: Any) -> dict[str, Any]:
    """Return what a run needs to resume, but for its progress; `trainer` is that of train.py."""
    return {
        "model": trainer.model.state_dict(),
        "optimizer": rename(trainer.optimizer.state_dict(), automatic_names(trainer.model)),
        "scheduler": trainer.scheduler.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "ema": trainer.ema.weights,
    }


def load(path: Path) -> Any:
    """Return the contents of a file of this framework, arrays as NumPy arrays.

    Raises UserError where the file is damaged, of another kind, or carries code.
    """
    state.check_suffix(path, SUFFIX)
    return pickles.read(path)


def load_weights(path: Path, model: nn.Layer, finetune: bool = False) -> None:
    """Load weights into `model` from a .pdparams, a checkpoint of train.py, or a .safetensors.

    Where `finetune`, the last layer stays as it is, whatever the file holds of it. Raises
    UserError, which names the layer, where keys or shapes are not the model's.
    """
    weights, _ = read_weights(path)
    put_weights(path, weights, model, finetune)


def read_weights(path: Path) -> tuple[dict[str, Any], list[str] | None]:
    """Return the weights of a file as they lie in it, and the names of the classes if it has them.

    Raises UserError where the file is damaged, of another kind, or holds no weights.
    """
    if path.suffix == ".safetensors":
        return state.read_neutral(path, load_file), None
    contents = load(path)
    return state.model_entry(path, contents), model_files.class_names(contents)


def put_weights(
    path: Path, weights: dict[str, Any], model: nn.Layer, finetune: bool = False
) -> None:
    """Put what `read_weights` found in `path` into `model`. Raises UserError as `load_weights`."""
    if path.suffix == ".safetensors":
        for name in linear_weights(model) & weights.keys():
            # torch's [out, in] -> Paddle's [in, out]
            weights[name] = state.transposed(weights[name])
    expected = model.state_dict()
    if finetune:
        weights = model_files.with_new_head(path, weights, expected)
    model_files.check(path, weights, expected)
    with state.loading(path):
        model.set_state_dict(weights)


def restore(contents: dict[str, Any], path: Path, trainer: Any) -> None:
    """Put all back as `pack` found it. Raises UserError on a misfit."""
    model_files.check_keys(path, contents)
    weights = contents["model"]
    model_files.check(path, weights, trainer.model.state_dict())
    with state.loading(path):
        trainer.model.set_state_dict(weights)
    own_names = {name: automatic for automatic, name in automatic_names(trainer.model).items()}
    with model_files.user_error(path):
        trainer.optimizer.set_state_dict(rename(contents["optimizer"], own_names))
        trainer.scheduler.set_state_dict(contents["scheduler"])
        trainer.scaler.load_state_dict(contents["scaler"])
        trainer.ema.load(contents["ema"])


def automatic_names(model: nn.Layer) -> dict[str, str]:
    """Map each parameter's automatic name (conv2d_0.w_0) to its name in the model.

    Automatic names count the layers that a process has made, so a checkpoint cannot rely on them.
    """
    return {parameter.name: name for name, parameter in model.named_parameters()}


def rename(optimizer_state: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the optimizer's state with the parameter's name at the start of each key exchanged."""
    renamed = {}
    for key, entry in optimizer_state.items():
        old = max((name for name in names if key.startswith(name)), key=len, default="")
        renamed[names.get(old, "") + key[len(old) :]] = entry
    return renamed


def linear_weights(model: nn.Layer) -> set[str]:
    """Return the names of the weights that Paddle keeps as [in, out] and torch as [out, in]."""
    layers = model.named_sublayers()
    return {f"{name}.weight" for name, layer in layers if isinstance(layer, nn.Linear)}
