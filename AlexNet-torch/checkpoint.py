"""Checkpoints: a run as it stands after a step. Loading one runs no code that it may carry."""

from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from torch import nn

from common.training import model_files
from portproof.files import state

SUFFIX = ".pth"


def save(path: Path, contents: dict[str, Any]) -> None:
    """Write `contents` to a file; checkpoint_files.py replaces it atomically and names it."""
    torch.save(contents, path)


def pack(trainer: Any) -> dict[str, Any]:
    """Return what a run needs to resume, but for its progress; `trainer` is that of train.py."""
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": trainer.scheduler.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "ema": trainer.ema.weights,
    }


def load(path: Path) -> Any:
    """Return the contents of a file of this framework, arrays as tensors on the CPU.

    Raises UserError where the file is damaged, of another kind, or carries code.
    """
    state.check_suffix(path, SUFFIX)
    with state.opening(path):
        state.check_torch_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)


def load_weights(path: Path, model: nn.Module, finetune: bool = False) -> None:
    """Load weights into `model` from a .pth, a checkpoint of train.py, or a .safetensors.

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
    path: Path, weights: dict[str, Any], model: nn.Module, finetune: bool = False
) -> None:
    """Put what `read_weights` found in `path` into `model`. Raises UserError as `load_weights`."""
    if path.suffix == ".safetensors":
        weights = {name: torch.from_numpy(array) for name, array in weights.items()}
    expected = model.state_dict()
    if finetune:
        weights = model_files.with_new_head(path, weights, expected)
    model_files.check(path, weights, expected)
    with state.loading(path):
        model.load_state_dict(weights)


def restore(contents: dict[str, Any], path: Path, trainer: Any) -> None:
    """Put all back as `pack` found it. Raises UserError on a misfit."""
    model_files.check_keys(path, contents)
    weights = contents["model"]
    model_files.check(path, weights, trainer.model.state_dict())
    with state.loading(path):
        trainer.model.load_state_dict(weights)
    with model_files.user_error(path):
        trainer.optimizer.load_state_dict(contents["optimizer"])
        trainer.scheduler.load_state_dict(contents["scheduler"])
        trainer.scaler.load_state_dict(contents["scaler"])
        trainer.ema.load(contents["ema"])
