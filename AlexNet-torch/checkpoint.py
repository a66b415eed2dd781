"""Checkpoints: a run as it stands after an epoch. Loading one runs no code that it may carry."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

from common import state
from common.errors import UserError
from common.run_folder import link_or_copy, replace_whole

SUFFIX = ".pth"


def save(folder: Path, contents: dict[str, Any], best: bool) -> None:
    """Write `contents` to `last.pth` in `folder`, whole or not at all; the same to `best.pth`."""
    last = folder / f"last{SUFFIX}"
    with replace_whole(last) as partial:
        torch.save(contents, partial)
    if best:
        link_or_copy(last, folder / f"best{SUFFIX}")


def pack(model: nn.Module, optimizer, scheduler, **facts: Any) -> dict[str, Any]:
    """Return the contents of a checkpoint: model, optimizer, schedule and `facts`."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        **facts,
    }


def load(path: Path) -> Any:
    """Return the contents of a file of this framework, arrays as tensors on the CPU.

    Raises UserError where the file is damaged, of another kind, or carries code.
    """
    state.check_suffix(path, SUFFIX)
    return load_tensors(path, mapped=False)


def load_tensors(path: Path, mapped: bool) -> Any:
    """Return the contents of a .pth; where `mapped`, tensors stay in the file until looked at."""
    try:
        state.check_torch_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(
            f"{path}: cannot be loaded ({state.first_line(error)}); it is damaged, of another "
            "kind, or holds more than weights, which is refused because it could run code"
        ) from error


def load_weights(path: Path, model: nn.Module, finetune: bool = False) -> None:
    """Load weights into `model` from a .pth, a checkpoint of train.py, or a .safetensors.

    Where `finetune`, the last layer stays as it is, whatever the file holds of it. Raises
    UserError, which names the layer, where keys or shapes are not the model's.
    """
    if path.suffix == ".safetensors":
        arrays = state.read_neutral(path, load_file)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    else:
        weights = state.model_entry(path, load(path))
    own = model.state_dict()
    if finetune:
        weights = state.with_own_head(path, weights, own)
    state.check(path, _shapes(weights), _shapes(own))
    with state.loading(path):
        model.load_state_dict(weights)


def neutral_weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Return the model's state dict as arrays in torch's layout."""
    return {name: value.cpu().numpy() for name, value in model.state_dict().items()}


def restore(contents: dict[str, Any], path: Path, model: nn.Module, optimizer, scheduler) -> None:
    """Put model, optimizer and schedule back as `pack` found them. Raises UserError on a misfit."""
    state.check_keys(path, contents, ("model", "optimizer", "scheduler", "epoch", "best_top1"))
    weights = state.model_entry(path, contents)
    state.check(path, _shapes(weights), _shapes(model.state_dict()))
    with state.loading(path):
        model.load_state_dict(weights)
    with state.user_error(path):
        optimizer.load_state_dict(contents["optimizer"])
        scheduler.load_state_dict(contents["scheduler"])


def _shapes(weights: dict[str, torch.Tensor]) -> state.Shapes:
    return {name: tuple(getattr(value, "shape", ())) for name, value in weights.items()}
