"""One run: its folder, its checkpoints, its log, and where it stands."""

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from common.training import misclassified, model_card, plots
from common.training.checkpointing import CheckpointManager
from common.training.epoch import Epoch
from common.training.observer import NOBODY, Observer
from common.training.progress import Progress
from common.training.run_folder import RunFolder, ending, read_metrics
from common.training.signals import Stop, Stopped


class Evaluation(NamedTuple):
    """What a network says of a split; each tree's metric.py sums it up."""

    results: dict[str, float]  # val_loss; val_top1 and val_top5 in per cent
    predicted: np.ndarray  # [N], int64, classes in the order of the folder
    probability: np.ndarray  # [N], float32, of the predicted classes


class Modules(NamedTuple):
    """The modules beside train.py that a run calls: what a framework does in its own way."""

    boards: ModuleType
    checkpoint: ModuleType
    distributed: ModuleType
    optim: ModuleType


class Run:
    """What a training leaves, and where it stands: the folder, its checkpoints and its log.

    train.py calls, in this order: `resume` if it is wanted, `begin`; for each epoch `start_epoch`
    and `end_epoch`; `finish`.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        trainer: Any,
        loaders: tuple[Any, Any],
        modules: Modules,
        observer: Observer | None = None,
    ) -> None:
        """`loaders`: of train and val. Of several processes the first alone writes."""
        self.args, self.trainer = args, trainer
        self.train_loader, self.val_loader = loaders
        self.modules = modules
        self.observer = observer or NOBODY
        self.rank = self.train_loader.batch_sampler.rank
        self.world_size = self.train_loader.batch_sampler.world_size
        self.progress = Progress()

    def resume(self, path: Path) -> None:
        """Put trainer and progress back as a checkpoint has them. Raises UserError on a misfit."""
        contents = self.modules.checkpoint.load(path)
        self.modules.checkpoint.restore(contents, path, self.trainer)
        self.progress = Progress.of(contents, path, self.rank, self.world_size)

    def begin(self, gpu: str | None) -> None:
        """Make the run folder, or take it up again, and print what is about to be trained."""
        args, train, val = self.args, self.train_loader.dataset, self.val_loader.dataset
        self.folder = RunFolder(args, self.progress.epoch, gpu, writes=self.rank == 0)
        self.folder.record_bad_images(train, val)
        stop = Stop(catches=self.observer is NOBODY)
        agree = self.modules.distributed.all_reduce_max if self.world_size > 1 else None
        steps_per_epoch = self.train_loader.batch_sampler.steps
        self.checkpoints = CheckpointManager(self.folder, stop, steps_per_epoch, self._write, agree)
        self.checkpoints.begin(self.progress)
        ending.push(self._save_if_stopped)
        wanted = args.tensorboard or args.visualdl
        self.board = self.modules.boards.open_board(self.folder.path, wanted and self.folder.writes)
        print(f"run folder: {self.folder.path}")
        print(f"data: {len(train)} train, {len(val)} val images")
        classes = f"{len(train.index.classes)} classes"
        print(f"model: {args.model}, {classes}, {args.image_size} pixels")
        print(f"device: {self.trainer.device} x {self.world_size}")
        lr = self.modules.optim.scale_lr(args, self.world_size)
        print(f"lr: {args.lr:g} for {args.gpus} GPUs in the recipe, {lr:g} here")
        self.observer.start(self.trainer)

    def _save_if_stopped(self, kind: type | None, *_: Any) -> None:
        """Save what was trained where a signal has ended the evaluation, and leave."""
        if kind is Stopped:
            self.checkpoints.stopped_by = self.checkpoints.stop.signal
            self.checkpoints.save(self.progress)

    def _write(self, path: Path, progress: Progress) -> None:
        contents = self.modules.checkpoint.pack(self.trainer) | progress.as_dict()
        contents["classes"] = self.train_loader.dataset.index.classes
        contents["arguments"] = self.folder.arguments()
        contents["world_size"] = self.world_size
        self.modules.checkpoint.save(path, contents)

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return self.progress.epoch

    def current_lr(self) -> float:
        """Return the learning rate of the next step."""
        return self.modules.optim.current_lr(self.trainer.optimizer)

    def all_reduce_sum(self, values: list[float]) -> list[float]:
        """Return the sums of `values` over all processes."""
        return self.modules.distributed.all_reduce_sum(values)

    def start_epoch(self) -> Epoch:
        """Return the next epoch, or what is left of it."""
        self.progress.start_clock()
        return Epoch(self, self.train_loader)

    def end_epoch(self, row: dict[str, float]) -> None:
        """Log an epoch's metrics, save a checkpoint; the process ends here if a signal has come."""
        progress, folder = self.progress, self.folder
        row = {"epoch": progress.epoch + 1} | row | {"seconds": progress.taken()}
        self.observer.end_epoch(row)
        is_best = progress.end_epoch(row["val_top1"])
        with folder.logged(row):
            self.modules.boards.add(self.board, row)
            if is_best and folder.writes:
                best = folder.path / f"best{self.modules.checkpoint.SUFFIX}"
                indices = self.train_loader.dataset.index, self.val_loader.dataset.index
                model_card.write(best, self.args, row, *indices)
            print(f"epoch {progress.epoch}/{self.args.epochs}: {describe(row)}", flush=True)
            if self.observer.wants_files:
                self.checkpoints.save(progress, is_best)

    def finish(self, evaluation: Evaluation) -> None:
        """Write the curves and the page of mistakes, and say what came out."""
        folder, args = self.folder, self.args
        if not (folder.writes and self.observer.wants_files):
            return
        curves, page = folder.path / "curves.png", folder.path / "misclassified.html"
        title = f"{args.framework}, recipe {args.recipe}"
        plots.write_curves(curves, read_metrics(folder.path), title)
        index = self.val_loader.dataset.index
        misclassified.write_page(page, index, evaluation.predicted, evaluation.probability)
        print(f"result: {describe(evaluation.results)}")
        print(f"look at: {curves} and {page}")


def describe(row: dict[str, float], digits: int = 4) -> str:
    """Return the metrics of one epoch as a line for people."""
    return "  ".join(f"{name} {x:.{digits}g}" for name, x in row.items() if name != "epoch")
