"""Run this tree's own main() on given batches, and note each step: for tools that compare.

Nothing of the training is written here again: the network, the loss, the optimizer and the loop are
those of train.py, which runs as it always does. Only what it reads and what it writes is exchanged.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
from paddle import nn

import distributed
import layers
import optim
import train
from common import keeper, summaries
from common.array_files import ArrayFiles

Batches = Callable[[Any, int], Iterator[tuple]]  # of a loader and an epoch, as read_batches
NO_STOP = SimpleNamespace(signal=0)
PLACE = SimpleNamespace(first_sample=0)  # of this process in the batch that is being trained on
Step = Callable[..., tuple]  # stands for train_step; its first argument is the original


class Done(Exception):
    """Enough has been seen."""


@contextmanager
def replaced(module: Any, **functions: Any) -> Iterator[None]:
    """Exchange functions of a module for others."""
    originals = {name: getattr(module, name) for name in functions}
    for name, function in functions.items():
        setattr(module, name, function)
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(module, name, function)


def rehearse(
    options: list[str],
    folder: Path,
    dtype: str,
    batches: Batches | None,
    step: Step,
    saves_after: int = 0,
) -> None:
    """Run train.main() with these options until `step` raises Done, or to its end.

    The network is made in `dtype`, and pictures are turned into it. Nothing is evaluated. One
    checkpoint is written, after step `saves_after` of all; 0: none.
    """
    steps = 0
    read, take, arguments = train.read_batches, train.train_step, sys.argv

    def read_batches(loader, epoch, first=0, device=None):
        own = batches(loader, epoch) if batches else read(loader, epoch, first)
        for number, (images, labels) in enumerate(own, 0 if batches else first):
            if number < first:
                continue
            PLACE.first_sample = loader.batch_sampler.first_sample(number)
            yield images.astype(dtype), labels

    def train_step(*given):
        nonlocal steps
        steps += 1
        return step(take, *given)

    def is_due(keeper):
        return steps == saves_after

    def save(keeper, progress, is_best=False):
        if steps == saves_after and progress.step:
            save_now(keeper, progress)

    save_now = keeper.Keeper.save

    def evaluate(model, criterion, loader, device, world_size):
        model.eval()
        nothing = {"val_loss": 0.0, "val_top1": 0.0, "val_top5": 0.0}
        return train.Evaluation(nothing, np.zeros(1, np.int64), np.zeros(1, np.float32))

    sys.argv = ["train.py", *options, "--output-dir", str(folder)]
    paddle.set_default_dtype(dtype)
    try:
        with (
            replaced(train, read_batches=read_batches, train_step=train_step, evaluate=evaluate),
            replaced(train, Stop=lambda: NO_STOP),  # signals are not for a probe
            replaced(keeper.Keeper, is_due=is_due, save=save),
            replaced(train.mistakes, write_page=lambda *given: None),
            replaced(train.plots, write_curves=lambda *given: None),
        ):
            train.main()
    except Done:
        pass
    finally:
        sys.argv = arguments
        paddle.set_default_dtype("float32")


def repeated(images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Batches:
    """Return batches that go through `images` and `labels`, of each step [N, 3, S, S] and [N].

    An epoch has as many batches as its loader says, and the next one goes on where it ended.
    """

    def read(loader, epoch):
        for place in range(epoch * len(loader), (epoch + 1) * len(loader)):
            at = place % len(images)
            yield paddle.to_tensor(images[at]), paddle.to_tensor(labels[at])

    return read


def load_batches(files: dict[str, str] | None) -> Batches | None:
    if files is None:
        return None
    if "folder" in files:  # a file for each step: the last batch of an epoch may be smaller
        folder, steps = Path(files["folder"]), int(files["steps"])
        images, labels = (ArrayFiles(folder, name, steps) for name in ("images", "labels"))
        return repeated(images, labels)
    return repeated(np.load(files["images"]), np.load(files["labels"]))


class Recorder:
    """Stands for train_step and notes what goes in, what comes out, and what the optimizer does."""

    def __init__(
        self,
        steps: int,
        seed: int,
        folder: Path,
        full: dict[str, list[str]],
        first: int = 0,
        kinds: list[str] | None = None,
        since: int = 0,
    ) -> None:
        """`full` names, by step, the tensors of which everything is written to `folder`.

        `first` is the number of the first step, of which its dropout masks depend. `kinds` names
        the tensors that are noted (None: all), from step `since` on, since each takes a while.
        """
        self.kinds = kinds
        self.since = since
        self.steps = steps
        self.masks = layers.Masks(seed)
        self.folder = folder
        self.full = full
        self.first = first
        self.rows: list[dict[str, Any]] = []
        self.tensors: list[dict[str, dict[str, list[float]]]] = []  # kind -> name -> summary
        self.shapes: dict[str, list[int]] = {}
        self.buffer_shapes: dict[str, list[int]] = {}
        self.turned: set[str] = set()  # parameters that lie as [in, out]

    def __call__(self, original, model, criterion, optimizer, scheduler, images, labels, *rest):
        network, model = model, distributed.unwrap(model)
        number = len(self.rows)
        row = {
            "images": summaries.summarize(images.numpy()).tolist(),
            "labels": labels.tolist(),
            "mode": "train" if model.training else "eval",
        }
        noted: dict[str, dict[str, Any]] = {}
        noted["old buffers"] = self.buffers(model)
        self.note(number, noted, ("old buffers",))
        if number == 0:
            noted["start"] = self.parameters(model)
            self.note(number, noted, ("start",))
        update = optimizer.step

        def step(*given, **options):
            row["lr"] = optim.current_lr(optimizer)
            noted["before"] = self.parameters(model)
            noted["gradient"] = self.gradients(model)
            self.note(number, noted, ("before", "gradient"))
            update(*given, **options)

        optimizer.step = step
        self.masks.begin(self.first + number, PLACE.first_sample)
        try:
            loss, logits = original(network, criterion, optimizer, scheduler, images, labels, *rest)
        finally:
            optimizer.step = update
        noted["after"] = self.parameters(model)
        noted["state"] = self.state(model, optimizer)
        noted["buffers"] = self.buffers(model)
        self.note(number, noted, ("after", "state", "buffers"))
        row["loss"] = float(loss)
        row["dtype"] = str(loss.dtype).rpartition(".")[2]
        np.save(self.folder / f"logits-{number}.npy", logits.numpy())
        self.rows.append(row)
        self.tensors.append(noted)
        if len(self.rows) == self.steps:
            raise Done
        return loss, logits

    def sharing_dropout(self) -> AbstractContextManager:
        """Within, every dropout drops what this step's dropouts drop in the other framework.

        Once for all steps: it looks through every module of the process.
        """
        return layers.shared_dropout(self.masks, lambda dropout: None)

    def note(self, number: int, noted: dict[str, dict[str, Any]], kinds: tuple[str, ...]) -> None:
        """Turn tensors into summaries, and write out those that are wanted in full."""
        for kind in kinds:
            unwanted = self.kinds is not None and kind not in self.kinds
            if unwanted or number < self.since:
                noted[kind] = {}
            for name, array in noted[kind].items():
                if array is None:
                    continue
                if f"{kind} {name}" in self.full.get(str(number), []):
                    file = f"{number}-{kind}-{name}.npy"
                    np.save(self.folder / file, array.T if self.is_turned(name) else array)
                noted[kind][name] = summaries.summarize(array, self.is_turned(name)).tolist()

    def is_turned(self, name: str) -> bool:
        return name.partition(" ")[0] in self.turned

    def parameters(self, model: nn.Layer) -> dict[str, Any]:
        """Return the parameters by name, as arrays that later steps change."""
        found = dict(model.named_parameters())
        modules = dict(model.named_sublayers(include_self=True))
        self.turned = {
            name
            for name in found
            if name.endswith(".weight")
            and layers.layout(modules[name.rpartition(".")[0]]) == "in, out"
        }
        self.shapes = {name: list(value.shape) for name, value in found.items()}
        return {name: np.from_dlpack(value.detach()) for name, value in found.items()}

    def buffers(self, model: nn.Layer) -> dict[str, Any]:
        """Return the running statistics of normalization layers, as arrays."""
        kept = model.state_dict().items()  # Paddle counts them among the parameters
        found = {name: value for name, value in kept if name.endswith(("._mean", "._variance"))}
        self.buffer_shapes = {name: list(value.shape) for name, value in found.items()}
        return {name: np.from_dlpack(value.detach()) for name, value in found.items()}

    def gradients(self, model: nn.Layer) -> dict[str, Any]:
        """Return the gradients by the parameter's name; None where there is none."""
        return {
            name: None if value.grad is None else np.from_dlpack(value.grad.detach())
            for name, value in model.named_parameters()
        }

    def state(self, model: nn.Layer, optimizer) -> dict[str, Any]:
        """Return the optimizer's tensors, as "parameter velocity" and the like."""
        found = {}
        names = {value.name: name for name, value in model.named_parameters()}
        for key, tensor in optimizer.state_dict().items():
            own = max((own for own in names if key.startswith(own + "_")), key=len, default=None)
            if own is not None and list(tensor.shape) == self.shapes[names[own]]:
                role = key[len(own) + 1 :].rpartition("_")[0]  # conv2d_0.w_0_velocity_0
                found[f"{names[own]} {role}"] = np.from_dlpack(tensor.detach())
        return found

    def report(self) -> dict[str, Any]:
        """Return all that was noted, ready for JSON."""
        buffers = self.buffer_shapes
        found = {"rows": self.rows, "tensors": self.tensors, "shapes": self.shapes}
        return {**found, "buffers": buffers}
