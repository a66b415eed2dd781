"""Folders of made-up runs, as train.py leaves them."""

import json


def write_run(folder, framework, seed, top1, epochs=2, planned=2, fast=False, seconds=7):
    """Write the folder of a run that has ended after `epochs` of those `planned`."""
    folder.mkdir(parents=True)
    arguments = {"framework": framework, "recipe": "sample", "fast": fast, "seed": seed}
    described = {"arguments": arguments | {"epochs": planned}, "versions": {"python": "3.11"}}
    described["machine"] = {"processor": "P", "cores": 2}
    (folder / "args.json").write_text(json.dumps(described))
    measured = {"val_top1": top1, "val_top5": 99, "val_loss": 1, "seconds": seconds}
    measured |= {"lr": 0.01, "train_loss": 1, "train_top1": 70}
    rows = [{"epoch": epoch, "images_per_s": 5} | measured for epoch in range(1, epochs + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
