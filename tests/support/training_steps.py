"""Run train.py of a tree several times in one process, and note what happens at each step.

Noted are `loss`, `lr`, `logits`, their `dtype`, `labels`, `moved` (the norm of the change of all
weights), `weight` (the last layer's, after the step; `start` before the first) and `channels_last`
(of the images and the first layer's weights).
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from common.training import Observer
from tests.support.helpers import assert_success, run_mains
from tests.support.tree_commands import run_one, serve


def run_steps(tree: Path, folder: Path, *commands: list) -> list[dict[str, np.ndarray]]:
    """Return what is noted of each command, the words after train.py; all must end well."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = run_mains(tree, folder, *(("train", words) for words in commands), by=__name__)
    for done in runs:
        assert_success(done)
    return [dict(np.load(folder / f"{number}.npz")) for number in range(len(commands))]


def to_numpy(tensor) -> np.ndarray:
    """Return a tensor of either framework as float64 or int64."""
    return np.array(tensor.detach().tolist())


def weights(model) -> dict[str, np.ndarray]:
    return {name: np.array(p.detach().cpu().numpy()) for name, p in model.named_parameters()}


def lies_channels_last(tensor) -> bool:
    """Say whether [N, C, H, W] lies as [N, H, W, C]; Paddle's never does."""
    layout = getattr(sys.modules.get("torch"), "channels_last", None)
    return layout is not None and tensor.is_contiguous(memory_format=layout)


class Noting(Observer):
    """Notes what goes in and comes out of each step of a run."""

    def __init__(self):
        self.noted = defaultdict(list)

    def start(self, trainer):
        self.model, self.optimizer = trainer.model, trainer.optimizer
        # Paddle's name for it is another.
        hook = getattr(self.model, "register_forward_hook", None)
        (hook or self.model.register_forward_post_hook)(self.after_forward)
        self.noted["start"] = list(weights(self.model).values())[-2]

    def note(self, **values):
        for name, value in values.items():
            self.noted[name].append(value)

    def after_forward(self, model, inputs, logits):
        self.images, self.logits = inputs[0], logits

    def begin_batch(self, batch, images, labels):
        self.before, self.labels = weights(self.model), labels
        self.lr = sys.modules["optim"].current_lr(self.optimizer)

    def end_batch(self, loss):
        before, after = self.before, weights(self.model)
        moved = np.sqrt(sum(((after[n] - before[n]).astype(float) ** 2).sum() for n in after))
        self.note(lr=self.lr, moved=moved, weight=list(after.values())[-2])
        self.note(loss=to_numpy(loss), labels=to_numpy(self.labels))
        self.note(logits=to_numpy(self.logits), dtype=str(self.logits.dtype))
        first = next(iter(self.model.parameters()))
        self.note(channels_last=lies_channels_last(self.images) and lies_channels_last(first))
        return False


def run_noted(name: str, words: list) -> tuple[int, str, str]:
    """Run a command, and note its steps in a file beside the request's, of the next number."""
    observer, folder = Noting(), Path(sys.argv[2]).parent
    outcome = run_one(name, words, observer=observer)
    noted = observer.noted.items()
    arrays = {name: steps for name, steps in noted if len(set(map(np.shape, steps))) <= 1}
    np.savez(folder / f"{len(list(folder.glob('*.npz')))}.npz", **arrays)
    return outcome


if __name__ == "__main__":
    serve(run_noted)
