"""Parts of a tree on their own, for tests: weights, batches, rates and counts.

    python -m tests.support.tree_parts TREE REQUEST.json OUT_DIR

REQUEST holds `arguments`, a list of options of train.py, and the settings of each part, which
becomes OUT_DIR/<part>.npz.
"""

import importlib
import itertools
import json
import sys
from pathlib import Path

import numpy as np

from common.data import draws
from common.training.args import parse
from tests.support.helpers import framework_of


class Tree:
    """The parts of one tree, in the process of its framework."""

    def __init__(self, tree, options):
        self.framework = framework_of(tree)
        self.backend = importlib.import_module(f"portproof.backends.{self.framework}")
        self.args = parse(self.framework, options)

    def weights(self, num_classes=1000):
        """The model's random weights, or those of --weights, in torch's layout."""
        checkpoint, models = map(importlib.import_module, ("checkpoint", "models"))
        self.backend.seed(draws.weights_seed(self.args.seed))
        model = models.MODELS[self.args.model](num_classes, self.args.dropout)
        if self.args.weights:
            checkpoint.load_weights(self.args.weights, model)
        weights = {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
        for name in checkpoint.linear_weights(model) if self.framework == "paddle" else ():
            weights[name] = weights[name].T  # [in, out] -> torch's [out, in]
        return weights

    def stream(self, epochs, settings):
        """What the port reads of both splits: images, labels and sizes of batches, in a row."""
        port, arrays = importlib.import_module("port"), {}
        for split in ("train", "val"):
            read = (port.batches(split, epoch, settings) for epoch in range(epochs))
            batches = list(itertools.chain.from_iterable(read))
            for name in ("images", "labels"):
                arrays[f"{split}_{name}"] = np.concatenate([batch[name] for batch in batches])
            arrays[f"{split}_sizes"] = np.array([len(batch["labels"]) for batch in batches])
        return arrays

    def schedule(self, steps_per_epoch):
        """The learning rate that the optimizer uses at each step."""
        optim, nn = map(importlib.import_module, ("optim", f"{self.framework}.nn"))
        optimizer, scheduler = optim.build(nn.Linear(2, 2), self.args, steps_per_epoch)
        rates = []
        for _ in range(self.args.epochs * steps_per_epoch):
            rates.append(optim.current_lr(optimizer))
            optimizer.step()
            scheduler.step()
        return {"lr": np.array(rates)}

    def metric(self, logits, labels):
        """Counts of correct samples for k = 1 and 5."""
        metric = importlib.import_module("metric")
        logits = self.backend.to_tensor(np.array(logits, np.float32))
        labels = self.backend.to_tensor(np.array(labels))
        return {f"top{k}": metric.count_correct(logits, labels, k).numpy() for k in (1, 5)}


def main():
    tree, request, folder = map(Path, sys.argv[1:])
    sys.path.insert(0, str(tree))
    parts = json.loads(request.read_text())
    tree_parts = Tree(tree, parts.pop("arguments"))
    for part, settings in parts.items():
        np.savez(folder / f"{part}.npz", **getattr(tree_parts, part)(**settings))


if __name__ == "__main__":
    main()
