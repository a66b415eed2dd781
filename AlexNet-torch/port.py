"""What portproof may ask of this tree: see portproof/port.py for the contract.

Only adapters stand here: network, loss, optimizer, loop, evaluation, loaders and export are those
of train.py and its modules, so that a fault in any of them is seen. What reading and writing
weights does not need is imported where it is used: it takes seconds.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import checkpoint
import presets
from common.data import draws
from common.training import Observer, model_files
from common.training.args import parse
from common.training.port_settings import DROPOUT, GivenLoader, as_options, usual_settings
from models import MODELS

SETTINGS = usual_settings()  # and every other option of train.py, by its name with underscores


def model(settings: dict[str, Any]) -> nn.Module:
    """Return the network, freshly initialized."""
    args = parse("torch", as_options("torch", settings))
    name = classes = None
    if settings.get("fitted_to"):
        name, classes = model_files.which_network(Path(settings["fitted_to"]))
    name = settings.get("model") or name or args.model
    classes = settings.get("classes") or classes or 1000
    dropout = settings.get("dropout", DROPOUT)
    return MODELS[name](num_classes=classes, dropout=dropout)


def load_weights(model: nn.Module, path: str) -> None:
    """Load weights in torch's layout, or a file of this framework, as train.py does."""
    checkpoint.load_weights(Path(path), model)


def train(observer: Observer | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Run train.py from its start; return what its last evaluation says."""
    import train as script

    return script.main(as_options("torch", settings), observer)._asdict()


def evaluate(model: Callable, batches: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Return loss and accuracies of the tree's own evaluation of given batches."""
    import train as script

    loader = GivenLoader([(batch["images"], batch["labels"]) for batch in batches])
    return script.evaluate(model, nn.CrossEntropyLoss(), loader, torch.device("cpu")).results


def batches(split: str, epoch: int, settings: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the batches of one epoch as the training reads them."""
    from datasets.folder import read_batches

    for images, labels in read_batches(loaders(*as_options("torch", settings))[split], epoch):
        yield {"images": images.numpy(), "labels": labels.numpy()}


def samples(split: str, settings: dict[str, Any]) -> dict[str, list[str]]:
    """Return the classes, and the file of each sample by its place in the folder."""
    index = loaders(*as_options("torch", settings))[split].dataset.index
    return {"classes": list(index.classes), "paths": [str(path) for path in index.paths]}


def listen_to_draws(listener: draws.Listener | None) -> None:
    """Tell of the draws of orders, crops and flips."""
    draws.listen(listener)


@lru_cache(maxsize=1)  # as in training, the loader of an epoch is that of the next one
def loaders(*options: str) -> dict[str, Any]:
    """Return the training's loaders by split."""
    from datasets.folder import load_data

    train_loader, val_loader, _ = load_data(parse("torch", options))
    return {"train": train_loader, "val": val_loader}


def export(model: nn.Module, folder: str, settings: dict[str, Any]) -> dict[str, Callable]:
    """Return what writes each format and returns what runs it; and as "live", the model itself."""
    import export as exports
    from common.inference.metadata import ModelMetadata

    facts = ModelMetadata(settings["image_size"], presets.MEAN, presets.STD)

    def write(name: str) -> Callable:
        path = Path(folder) / f"model{exports.FORMATS[name]}"
        exports.export(model.train(), path, name, facts)  # as training leaves it
        return exports.open_exported(path).run

    formats = {name: partial(write, name) for name in exports.FORMATS}
    return formats | {"live": lambda: partial(exports.run_live, model.eval())}
