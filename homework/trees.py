"""Put a student's four files into a copy of this repository's tree, so that the tools can run it.

The rest of the tree (data, loop over epochs, probe) is AlexNet's, and no file of the student's.
"""

import shutil
from pathlib import Path

from common.paths import ROOT
from tools.probes import Side

HOMEWORK = ROOT / "homework"
GIVEN, STARTER = HOMEWORK / "ResNet-torch", HOMEWORK / "starter"
MODEL = "models/resnet.py"
FILES = (MODEL, "metric.py", "loop.py", "optim.py")  # in the order in which they are written
OWN_METRIC, OWN_OPTIM = "alexnet_metric.py", "alexnet_optim.py"
OPTIM = """

from optim import build, current_lr, scale_lr  # noqa: E402, F811, those of the homework
"""
MAIN = '\n\nif __name__ == "__main__":'
LOSS = "nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)"
NETWORK = '''"""The network of the homework, by the name that the rest of the tree knows."""

from models.resnet import ResNet18


def AlexNet(num_classes: int = 1000, dropout: float = 0.5):
    return ResNet18(num_classes, width={width})
'''
NAMED = """

MODELS = {"alexnet": AlexNet}  # where the tree knows its networks by name
"""
READ = """

import loop  # noqa: E402, so that a mistake in it shows as soon as the tree is read
"""
ADAPTED = """
import loop  # of the homework: its step and its evaluation take the place of those above


def train_step(model, criterion, optimizer, scheduler, images, labels, scaler, args, *rest):
    return loop.train_step(model, criterion, optimizer, scheduler, images, labels)


def evaluate(model, criterion, loader, device, world_size=1):
    results = loop.evaluate(model, criterion, read_batches(loader, epoch=0, device=device))
    return Evaluation(results, np.zeros(0, np.int64), np.zeros(0, np.float32))
"""


def assemble(framework: str, target: Path, files: dict[str, Path], width: int | None) -> Side:
    """Make a tree of these files of a homework in the folder `target`; return it as a side.

    What is missing of FILES is AlexNet's own. The network is that of MODEL with `width` channels in
    the first stage, or where `width` is None a small stand-in.
    """
    tree = ROOT / f"AlexNet-{framework}"
    shutil.copytree(tree, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(target / "metric.py", target / OWN_METRIC)
    (target / OWN_OPTIM).write_text((target / "optim.py").read_text() + OPTIM)
    own = {name: file for name, file in files.items() if width is not None or name != MODEL}
    for name, file in own.items():
        shutil.copyfile(file, target / name)
    stand_in = HOMEWORK / "stand_in" / f"for_{framework}.py"
    network = stand_in.read_text() if width is None else NETWORK.format(width=width)
    package = network + NAMED + (READ if "loop.py" in own else "")
    (target / "models" / "__init__.py").write_text(package)
    train = target / "train.py"
    train.write_text(adapt(train.read_text(), "loop.py" in own))
    return Side(framework, target, own_files=tuple(own))


def adapt(text: str, with_loop: bool) -> str:
    """Return the text of a train.py that counts by AlexNet's own metric as it trains.

    What it needs of optim.py beyond the homework's three functions is AlexNet's too. `with_loop`:
    and it takes its loss, step and evaluation from loop.py.
    """
    text = exchange(text, "\nimport optim\n", f"\nimport {Path(OWN_OPTIM).stem} as optim\n")
    text = exchange(text, "\nimport metric\n", f"\nimport {Path(OWN_METRIC).stem} as metric\n")
    if not with_loop:
        return text
    text = exchange(text, LOSS, "loop.make_loss(args.label_smoothing)")
    return exchange(text, MAIN, ADAPTED + MAIN)


def exchange(text: str, old: str, new: str) -> str:
    """Return a train.py's text with `old`, which stands there once, exchanged for `new`."""
    if text.count(old) != 1:
        raise RuntimeError(f"train.py has not one {old!r}: homework/trees.py is out of date")
    return text.replace(old, new)
