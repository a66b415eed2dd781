"""Run train.py of a tree several times in one process, and note what goes on at each step.

    python -m tests.steps TREE REQUEST.json FOLDER

REQUEST holds a list of command lines. Of run N, FOLDER/N.npz holds at each step: `loss`, `logits`,
`labels`, `dtype` of the logits, `moved` (the norm of the change of all weights), `weight` (that of
the last layer after the step) and `channels_last` (whether the pictures and the weights of the
first layer lie that way); and once `start`, the last layer's weight before the first step.
FOLDER/N.json holds exit status, standard output and error.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np

from tests.helpers import framework_of, run_warm
from tests.mains import run_one

NOTED = ("loss", "logits", "labels", "moved", "weight", "dtype", "channels_last")


def run_steps(tree: Path, folder: Path, *commands: list) -> list[dict]:
    """Return for each command what was noted, and `status`, `out` and `err`."""
    folder.mkdir(parents=True, exist_ok=True)
    request = folder / "request.json"
    request.write_text(json.dumps([[str(word) for word in words] for words in commands]))
    done = run_warm(framework_of(tree), "-m", "tests.steps", tree, request, folder)
    assert done.returncode == 0, done.stderr
    found = []
    for number in range(len(commands)):
        with np.load(folder / f"{number}.npz", allow_pickle=False) as arrays:
            found.append(dict(arrays) | json.loads((folder / f"{number}.json").read_text()))
    return found


def to_numpy(tensor) -> np.ndarray:
    """Return a tensor of either framework as float64 or int64."""
    return np.array(tensor.detach().tolist())


def weights(model) -> dict[str, np.ndarray]:
    return {name: np.array(p.detach().cpu().numpy()) for name, p in model.named_parameters()}


def lies_channels_last(tensor) -> bool:
    """Say whether [N, C, H, W] lies as [N, H, W, C]; Paddle's never does."""
    layout = getattr(sys.modules.get("torch"), "channels_last", None)
    return layout is not None and tensor.is_contiguous(memory_format=layout)


def noting(train_step, noted: dict[str, list]):
    def step(model, criterion, optimizer, scheduler, images, labels, *rest):
        before = weights(model)
        loss, logits = train_step(model, criterion, optimizer, scheduler, images, labels, *rest)
        after = weights(model)
        moved = np.sqrt(sum(((after[n] - before[n]).astype(float) ** 2).sum() for n in after))
        first = next(iter(model.parameters()))
        if not len(noted["start"]):
            noted["start"] = list(before.values())[-2]
        values = (
            *(to_numpy(loss), to_numpy(logits), to_numpy(labels), moved),
            *(list(after.values())[-2], str(logits.dtype)),
            lies_channels_last(images) and lies_channels_last(first),
        )
        for name, value in zip(NOTED, values, strict=True):
            noted[name].append(value)
        return loss, logits

    return step


def main() -> None:
    tree, request, folder = sys.argv[1:]
    sys.path.insert(0, tree)
    train = importlib.import_module("train")
    train_step = train.train_step
    for number, words in enumerate(json.loads(Path(request).read_text())):
        noted: dict[str, list] = {name: [] for name in (*NOTED, "start")}
        train.train_step = noting(train_step, noted)
        status, out, err = run_one("train", words)
        arrays = {
            name: np.array(values)
            for name, values in noted.items()
            if len({np.shape(value) for value in values}) <= 1
        }
        np.savez(Path(folder) / f"{number}.npz", **arrays)
        told = {"status": status, "out": out, "err": err}
        (Path(folder) / f"{number}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
