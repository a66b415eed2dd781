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


def is_complete(name: str) -> bool:
    """Say whether data/<name> holds the whole data set."""
    return atomic_folders.is_complete(DATA_DIR / name, "dataset", description(name))


def locate(args: argparse.Namespace) -> Path:
    """Return the folder that --data-path or --dataset names, else the sample's.

    It is made where it is missing. Raises UserError where it cannot be.
    """
    if args.data_path:
        return args.data_path
    return ensure(args.dataset) if args.dataset else synthetic.ensure()


def ensure(name: str) -> Path:
    """Return data/<name>; fetched first where it is missing. Raises UserError where that fails.

    Leaves with exit status 2 where the process that fetches has said in one line what to mend.
    """
    folder = DATA_DIR / name
    if is_complete(name):
        return folder
    print(f"fetching {name} into {folder} (once, {SIZES[name]})", flush=True)
    fetching.run(name, "fetch_dataset.py", name, "--output", folder)
    return folder
