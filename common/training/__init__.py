"""What a training needs and no framework does: the run, its epochs, its evaluation, who watches."""

from common.training.epoch import Epoch
from common.training.observer import Observer
from common.training.progress_bar import show_progress
from common.training.run import Evaluation, Modules, Run, describe

__all__ = ["Epoch", "Evaluation", "Modules", "Observer", "Run", "describe", "show_progress"]
