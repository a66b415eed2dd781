"""The logs of training runs, this project's and others', in one form.

The contents of a log show its format, and that says whether accuracies are per cent or fractions
of 1. Each was taken from the code that writes it:

- this project: `metrics.jsonl` (portproof/runs/metrics.py); per cent.
- timm: `summary.csv` (huggingface/pytorch-image-models, timm/utils/summary.py); per cent, epochs
  from 0, the header anew where a run was resumed. With --model-ema they are the average's.
- PaddleClas: `train.log` (PaddlePaddle/PaddleClas, ppcls/engine); fractions. A moving average is
  evaluated right after the model, in the same words; "best metric: " follows the model's alone.
- torchvision's reference: what it prints (pytorch/vision, references/classification/train.py);
  per cent, epochs from 0, "Test: EMA" for the moving average. Older ones print " * Acc@1", and so
  does pytorch/examples, imagenet/main.py. Its loss is of parts of an epoch alone.
- AlexNet-Prod: what it prints (littletomatodonkey/AlexNet-Prod, pipeline/Step5): by torch as
  torchvision does, by Paddle epochs as "[Epoch 1, iter: 10] top1: 12.5%". Where that % is missing
  its accuracies are fractions, in steps of 0.1 points.

Numbers are written with a fixed count of digits, so one that was cut off is seen as such.
"""

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from portproof.runs.metrics import METRICS_FILE, parse_metrics
from portproof.system.errors import UserError, show

ACCURACIES = ("val_top1", "val_top5")
METRICS = ("train_loss", "val_loss", *ACCURACIES)
IN_FOLDER = (METRICS_FILE, "summary.csv", "train.log")
KNOWN = "this project's metrics.jsonl, timm's summary.csv, a log of PaddleClas, of torchvision's "
KNOWN += "reference or of AlexNet-Prod"
FROM_TIMM = {"train_loss": "train_loss", "eval_loss": "val_loss"}
FROM_TIMM |= {"eval_top1": "val_top1", "eval_top5": "val_top5"}

OWN_START = re.compile(r'\{\s*"epoch"\s*:')

CLAS_TRAIN = re.compile(r"\[Train\]\[Epoch (\d{1,6})/(\d{1,6})\]\[Avg\](.*)")
CLAS_EVAL = re.compile(r"\[Eval\]\[Epoch (\d{1,6})\]\[Avg\](.*)")
CLAS_BEST = re.compile(r"\[Eval\]\[Epoch (\d{1,6})\]\[best metric: ")
CLAS_NUMBER = re.compile(r"\b(\w{1,40}): (nan|inf|\d{1,9}\.\d{5})(?![\d.])")

VISION_ARGUMENTS = re.compile(r"^Namespace\(.*\bepochs=(\d{1,6})")
VISION_EPOCH = re.compile(r"Epoch: \[(\d{1,6})\]")
PROD_EPOCH = re.compile(r"\[Epoch (\d{1,6}), iter: \d+\] top1: \d{1,9}\.\d{1,9}(%?)")
VISION_EVAL = re.compile(
    r"(?:Test:\s+(?P<average>EMA\s+)?|(?P<old>\*)\s+)"
    r"Acc@1\s+(?P<top1>\d+\.\d{3}),?\s+Acc@5\s+(?P<top5>\d+\.\d{3})(?!\S)"
)

Epochs = dict[int, dict[str, float]]


@dataclass
class RunLog:
    """One run. `epochs` holds the metrics of each epoch, from 1; 0 is a model only evaluated.

    `average` holds the same of a moving average of the weights, where it was evaluated apart.
    `planned` is how many epochs were to be, and `framework` what trained, where the log says so.
    """

    file: Path
    format: str = ""
    framework: str | None = None
    epochs: Epochs = field(default_factory=dict)
    average: Epochs = field(default_factory=dict)
    planned: int | None = None

    def begin(self, epoch: int) -> None:
        """Make room for an epoch; where a run was resumed, what it had from there on is dropped."""
        for rows in (self.epochs, self.average):
            for later in [other for other in rows if other >= epoch]:
                del rows[later]

    def error(self, message: str) -> UserError:
        """Return the error that says this of the log."""
        return UserError(f"{show(self.file)}: {message}")


def read_log(path: Path) -> RunLog:
    """Read a log, or the log in a run folder. Raises UserError where it is none, or damaged."""
    log = RunLog(_find(path))
    try:
        text = log.file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise log.error(f"cannot be read ({error.strerror})") from error
    _reader(log, text)(log, text)
    _check(log)
    return log


def _find(path: Path) -> Path:
    # os.path's, unlike Path's own, are False for a name that cannot be.
    files = [path / name for name in IN_FOLDER] if os.path.isdir(path) else [path]
    for file in filter(os.path.isfile, files):
        return file
    what = f"holds none of {', '.join(IN_FOLDER)}" if files[1:] else "there is no such file"
    raise UserError(f"{show(path)}: {what}; name a run folder or a log")


def _reader(log: RunLog, text: str) -> Callable[[RunLog, str], None]:
    """Return the function that reads this kind of log. Raises UserError for an unknown one."""
    start = text.lstrip()[:100]
    if not start:
        raise log.error("is empty; no epoch is finished yet")
    if OWN_START.match(start):
        return read_own
    if start.startswith("epoch,"):
        return read_timm
    if "[Train][Epoch " in text or "[Eval][Epoch " in text:
        return read_paddleclas
    if VISION_EPOCH.search(text) or PROD_EPOCH.search(text) or VISION_EVAL.search(text):
        return read_torchvision
    raise log.error(f"no log of a known form ({KNOWN})")


def _check(log: RunLog) -> None:
    """Raise UserError where there is no epoch, or an accuracy that cannot be."""
    rows = [*log.epochs.items(), *log.average.items()]
    if not rows:
        raise log.error("no epoch is finished yet")
    for epoch, row in rows:
        for name in ACCURACIES:
            accuracy = row.get(name, 0.0)
            if not (0 <= accuracy <= 100 or math.isnan(accuracy)):
                what = f"{name} of epoch {epoch} is {accuracy:g} per cent"
                raise log.error(f"{what}; the log is damaged, or not one of {log.format}")


def read_own(log: RunLog, text: str) -> None:
    """Read this project's metrics.jsonl, and the args.json beside it."""
    log.format = "this project"
    for row in parse_metrics(text, log.file):
        epoch = row["epoch"]
        metrics = {name: row[name] for name in METRICS if name in row}
        for number in metrics.values():  # an integer that is no float has hundreds of digits
            if type(number) is not float and not (type(number) is int and abs(number) < 1e300):
                raise log.error(f"epoch {epoch} holds what is no number; delete it")
        log.begin(epoch)
        log.epochs[epoch] = {name: float(number) for name, number in metrics.items()}
    try:
        arguments = json.loads((log.file.parent / "args.json").read_text())["arguments"]
        log.framework = show(arguments["framework"])
        log.planned = int(arguments["epochs"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass  # a log that was copied alone


def read_timm(log: RunLog, text: str) -> None:
    """Read timm's summary.csv. Raises UserError where a line is damaged."""
    log.format = "timm"
    if not text.endswith("\n"):
        raise log.error("its last line was cut off; delete it, or end it with a line break")
    head: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split(",")
        if cells[0] == "epoch":
            head = cells
        elif line:
            try:
                row = dict(zip(head, cells, strict=True))
                epoch = int(row["epoch"]) + 1
                metrics = {own: float(row[name]) for name, own in FROM_TIMM.items() if name in row}
            except ValueError as error:
                where = f"{show(log.file)}, line {number}"
                raise UserError(f"{where}: not the numbers of an epoch; delete it") from error
            log.begin(epoch)
            log.epochs[epoch] = metrics


def read_paddleclas(log: RunLog, text: str) -> None:
    """Read PaddleClas's train.log or eval.log."""
    log.format = "PaddleClas"
    evaluated = None  # the epoch, since the last line of training
    for line in text.splitlines():
        if match := CLAS_TRAIN.search(line):
            epoch, log.planned, evaluated = int(match[1]), int(match[2]), None
            log.begin(epoch)
            log.epochs[epoch] = _clas_values(match[3], "train_loss")
        elif match := CLAS_EVAL.search(line):
            epoch, values = int(match[1]), _clas_values(match[2], "val_loss")
            if epoch and epoch == evaluated:
                log.average[epoch] = values
                continue
            trained, evaluated = log.epochs.get(epoch, {}), epoch
            log.begin(epoch)
            log.epochs[epoch] = trained | values
        elif (match := CLAS_BEST.search(line)) and int(match[1]) in log.average:
            log.epochs[int(match[1])] |= log.average.pop(int(match[1]))  # it was the model, again


def _clas_values(text: str, loss: str) -> dict[str, float]:
    """Return the metrics in "CELoss: 2.51230, loss: 2.51230, top1: 0.45120", accuracies in %."""
    numbers = {name: float(number) for name, number in CLAS_NUMBER.findall(text)}
    metrics = {loss: numbers["loss"]} if "loss" in numbers else {}
    if loss == "val_loss":
        for name in {"top1", "top5"} & numbers.keys():
            metrics[f"val_{name}"] = round(100 * numbers[name], 6)
    return metrics


def read_torchvision(log: RunLog, text: str) -> None:
    """Read what torchvision's reference prints, and what prints alike."""
    log.format = "torchvision's reference"
    epoch, scale = 0, None  # scale: what makes per cent of " * Acc@1", once that is known
    for line in text.splitlines():
        if match := VISION_ARGUMENTS.search(line):
            log.planned = int(match[1])
        elif match := VISION_EPOCH.search(line) or PROD_EPOCH.search(line):
            scale = 1  # of an accuracy in per cent, as is written by all but AlexNet-Prod
            if match.re is PROD_EPOCH:
                log.format, scale = "AlexNet-Prod", 1 if match[2] else 100
            if epoch != int(match[1]) + 1:
                epoch = int(match[1]) + 1
                log.begin(epoch)
        elif match := VISION_EVAL.search(line):
            rows = log.average if match["average"] else log.epochs
            rows[epoch] = _vision_values(log, match, scale)
    if not epoch:
        log.planned = None  # only evaluated


def _vision_values(log: RunLog, match: re.Match, scale: int | None) -> dict[str, float]:
    """Return the metrics of one evaluation. Raises UserError where their scale is unknown."""
    if not match["old"]:
        scale = 1
    elif scale is None:
        what = "has no line of training, which would tell whether its accuracies are per cent"
        raise log.error(f"{what}; give the number itself as a run")
    return {f"val_{name}": round(scale * float(match[name]), 6) for name in ("top1", "top5")}
