"""Put a student's four files beside a port file, so that the tools can run them."""

import shutil
from pathlib import Path

from common.paths import ROOT
from portproof.worker.client import Side

HOMEWORK = ROOT / "homework"
TORCH, STARTER = HOMEWORK / "ResNet-torch", HOMEWORK / "starter"
MODEL = "models/resnet.py"
FILES = (MODEL, "metric.py", "loop.py", "optim.py")  # in the order in which they are written
NO_METRIC = '''"""Stands for a metric that is left out of what is graded."""


def count_correct(logits, labels, k):
    raise RuntimeError("metric.py is left out")
'''


def assemble(framework: str, target: Path, files: dict[str, Path], width: int | None) -> Side:
    """Make a port of these files of a homework in the folder `target`; return it as a side.

    Its network has `width` channels in the first stage; None: it is a small stand-in.
    """
    (target / "models").mkdir(parents=True)
    (target / "models" / "__init__.py").touch()
    (target / "metric.py").write_text(NO_METRIC)
    shutil.copyfile(HOMEWORK / "ports" / f"{framework}.py", target / "port.py")
    shutil.copyfile(HOMEWORK / "stand_in" / f"{framework}.py", target / MODEL)
    copied = {name: file for name, file in files.items() if width is not None or name != MODEL}
    for name, file in copied.items():
        shutil.copyfile(file, target / name)
    settings = {} if width is None else {"width": width}
    return Side(framework, target / "port.py", settings=settings, own_files=tuple(copied))
