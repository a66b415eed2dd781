"""The settings of portproof's contract as the trees understand them, and given batches."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from common.data.batches import NO_FAILURE
from common.training.checkpoint_files import SUFFIX
from common.training.recipes import RECIPES

# Of the contract alone: train.py takes the classes from the folder, and the shapes from the file.
NO_OPTIONS = {"classes", "fitted_to", "steps_per_epoch"}
# A comparison runs on a processor, reads images itself, and trains by the sample's recipe.
FIXED = {"recipe": "sample", "device": "cpu", "workers": 0}
RECIPE = RECIPES["sample"]
DROPOUT = 0.5  # of a network by itself: the paper's, whatever a recipe says


def usual_settings() -> dict[str, Any]:
    """Return the settings that portproof may vary, with the values that they have here."""
    names = ("image_size", "batch_size", "epochs", "lr", "gpus", "momentum", "weight_decay")
    return FIXED | {"model": RECIPE.model} | {name: getattr(RECIPE, name) for name in names}


def as_options(framework: str, settings: dict[str, Any]) -> list[str]:
    """Return settings by name, {"lr_gamma": 0.5, "nesterov": True}, as options of train.py."""
    options = []
    for name, value in (FIXED | settings).items():
        option = "--" + name.replace("_", "-")
        if name in NO_OPTIONS or value is None or value is False:
            continue
        if name == "resume":  # the folder of a run
            value = f"{value}/last{SUFFIX[framework]}"
        options += [option] if value is True else [option, str(value)]
    return options


class GivenLoader:
    """Gives these batches (images, labels) as datasets/folder.py reads them from its loaders."""

    def __init__(self, batches: list[tuple[Any, Any]]) -> None:
        self.batches = batches
        self.dataset = range(sum(len(labels) for _, labels in batches))
        size = len(batches[0][1])
        self.batch_sampler = SimpleNamespace(epoch=0, first=0, batch_size=size, world_size=1)

    def __iter__(self) -> Iterator[tuple]:
        for images, labels in self.batches:
            yield images, labels, NO_FAILURE
