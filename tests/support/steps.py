"""Run train.py of a tree several times in one process, and note what happens at each step.

    python -m tests.support.steps TREE REQUEST.json FOLDER

REQUEST holds a list of command lines. Of run N, FOLDER/N.npz holds at each step: `loss`, `lr`,
`logits`, `labels`, `dtype` of the logits, `moved` (the norm of the change of all weights), `weight`
(that of the last layer after the step) and `channels_last` (whether the images and the weights of
the first layer lie that way); and once `start`, the last layer's weight before the first step.
FOLDER/N.json holds exit status, standard output and error.
"""

import json
import sys
from pathlib import Path

import numpy as np

from common.training import Observer
from tests.support.helpers import assert_success, run_warm
from tests.support.mains import run_one
from tests.support.trees import framework_of

NOTED = ("loss", "lr", "logits", "labels", "moved", "weight", "dtype", "channels_last")


def run_steps(tree: Path, folder: Path, *commands: list) -> list[dict]:
    """Return for each command what was noted, and `status`, `out` and `err`."""
    folder.mkdir(parents=True, exist_ok=True)
    request = folder / "request.json"
    request.write_text(json.dumps([[str(word) for word in words] for words in commands]))
    words = ["-m", "tests.support.steps", tree, request, folder]
    assert_success(run_warm(framework_of(tree), *words))
    runs = []
    for number in range(len(commands)):
        with np.load(folder / f"{number}.npz", allow_pickle=False) as arrays:
            runs.append(dict(arrays) | json.loads((folder / f"{number}.json").read_text()))
    return runs


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
        self.noted = {name: [] for name in (*NOTED, "start")}

    def start(self, trainer):
        self.model, self.optimizer = trainer.model, trainer.optimizer
        # Paddle's name for it is another.
        hook = getattr(self.model, "register_forward_hook", None)
        (hook or self.model.register_forward_post_hook)(self.after_forward)
        self.noted["start"] = list(weights(self.model).values())[-2]

    def after_forward(self, model, inputs, logits):
        self.images, self.logits = inputs[0], logits

    def begin_batch(self, batch, images, labels):
        self.before, self.labels = weights(self.model), labels
        self.lr = sys.modules["optim"].current_lr(self.optimizer)

    def end_batch(self, loss):
        before, after = self.before, weights(self.model)
        moved = np.sqrt(sum(((after[n] - before[n]).astype(float) ** 2).sum() for n in after))
        first = next(iter(self.model.parameters()))
        values = {
            "loss": to_numpy(loss),
            "lr": self.lr,
            "logits": to_numpy(self.logits),
            "labels": to_numpy(self.labels),
            "moved": moved,
            "weight": list(after.values())[-2],
            "dtype": str(self.logits.dtype),
            "channels_last": lies_channels_last(self.images) and lies_channels_last(first),
        }
        for name, value in values.items():
            self.noted[name].append(value)
        return False


def main() -> None:
    tree, request, folder = sys.argv[1:]
    sys.path.insert(0, tree)
    for number, words in enumerate(json.loads(Path(request).read_text())):
        observer = Noting()
        status, out, err = run_one("train", words, observer=observer)
        arrays = {
            name: np.array(values)
            for name, values in observer.noted.items()
            if len({np.shape(value) for value in values}) <= 1
        }
        np.savez(Path(folder) / f"{number}.npz", **arrays)
        outcome = {"status": status, "out": out, "err": err}
        (Path(folder) / f"{number}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
