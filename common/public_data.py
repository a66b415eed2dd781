"""Public data sets by name, as image folders in data/<name>; fetched once, when first asked for."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from common import sample, whole_folders
from common.errors import BAD_INPUT, UserError
from common.paths import DATA_DIR, ROOT

SIZES = {"cifar10": "170 MB", "imagenette": "340 MB", "flowers102": "350 MB"}  # of the downloads
LAYOUT = 1  # a change of what `scripts/fetch_dataset.py` writes makes the folder anew


def description(name: str) -> dict:
    """Return what the folder of a data set says of itself when it is whole."""
    return {"name": name, "layout": LAYOUT}


def is_complete(name: str) -> bool:
    """Say whether data/<name> holds the whole data set."""
    return whole_folders.is_complete(DATA_DIR / name, "dataset", description(name))


def locate(args: argparse.Namespace) -> Path:
    """Return the folder that --data-path or --dataset names, else the sample's.

    It is made where it is missing. Raises UserError where it cannot be.
    """
    if args.data_path:
        return args.data_path
    return ensure(args.dataset) if args.dataset else sample.ensure()


def ensure(name: str) -> Path:
    """Return data/<name>; fetched first where it is missing. Raises UserError where that fails.

    torchvision fetches it, so that runs in a process of its own: this one may be Paddle's. Its
    interpreter is TORCH_PYTHON where that is set. Leaves with exit status 2 where that process has
    said in one line what to mend.
    """
    folder = DATA_DIR / name
    if is_complete(name):
        return folder
    print(f"fetching {name} into {folder} (once, {SIZES[name]})", flush=True)
    python = os.environ.get("TORCH_PYTHON") or sys.executable
    script = ROOT / "scripts" / "fetch_dataset.py"
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [python, str(script), name, "--output", str(folder)],
            env=os.environ | {"PYTHONPATH": search},
            check=False,
        )
    except OSError as error:
        raise UserError(
            f"TORCH_PYTHON={python}: cannot be run ({error.strerror}); name the Python that has "
            "torchvision"
        ) from error
    if done.returncode == BAD_INPUT:
        sys.exit(BAD_INPUT)
    if done.returncode:
        raise UserError(f"{name} was not fetched (reason above)")
    return folder
