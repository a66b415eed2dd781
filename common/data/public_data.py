"""Public data sets by name, as image folders in data/<name>; fetched once, when first asked for."""

import argparse
from pathlib import Path

from common.data import fetching, synthetic
from common.paths import DATA_DIR
from portproof.system import atomic_folders

SIZES = {"cifar10": "170 MB", "imagenette": "340 MB", "flowers102": "350 MB"}  # of the downloads
LAYOUT = 1  # a change of what `scripts/fetch_dataset.py` writes makes the folder anew


def description(name: str) -> dict:
    """Return what the folder of a data set says of itself when it is whole."""
    return {"name": name, "layout": LAYOUT}


def locate(args: argparse.Namespace) -> Path:
    """Return the folder that --data-path or --dataset names, else the sample's; made if missing."""
    if args.data_path:
        return args.data_path
    return ensure(args.dataset) if args.dataset else synthetic.ensure()


def ensure(name: str) -> Path:
    """Return data/<name>; fetched first where it is missing. Fails as `fetching.run` does."""
    folder = DATA_DIR / name
    if atomic_folders.is_complete(folder, "dataset", description(name)):
        return folder
    print(f"fetching {name} into {folder} (once, {SIZES[name]})", flush=True)
    fetching.run(name, "fetch_dataset.py", name, "--output", folder)
    return folder
