"""The contract of a port: what a port file may define, and who watches it.

A port file is plain Python for one framework; portproof imports it in that framework's own process.
Two ways, of which one is enough:

    by loop    train(observer, settings): the project's own loop runs from its start, and tells an
               observer of each step. Its loss, optimizer, schedule, clearing, accumulation,
               stopping and resuming are seen as they are.
    by parts   model, optimizer, train_step (or model, loss, optimizer): portproof has a loop, which
               tells the same observer the same things. GAN, VAE, diffusion, a student's homework.

Every function is optional. A checkpoint whose functions are missing is "not run", and names them.

Words: an *array* is NumPy's; a *tensor* is the framework's, on the CPU. A *batch* is a dict of
arrays or tensors by name. *settings* is a dict of plain values by the names below.

portproof seeds the framework, sets its default dtype, shares what is drawn (dropout, rand, randn,
randint, bernoulli, permutations), and hooks the model and the optimizers that it is handed. It
exchanges no function of the port.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

Module = Any  # torch.nn.Module, paddle.nn.Layer
Tensor = Any
Batch = dict[str, Any]
Settings = dict[str, Any]

# The settings that the port takes, with their usual values. A check gives those that it varies:
#   seed, data_path, image_size, batch_size, workers, epochs, lr, gpus, momentum, nesterov,
#   weight_decay, dropout, schedule ("step", "cosine"), lr_step_size, lr_gamma, warmup_epochs,
#   weights (a file in torch's layout), fitted_to (a file of which only the shapes count), classes
#   (which prevail over that file's), output_dir, resume (the output_dir of a run that was stopped),
#   eval_only
SETTINGS: Settings = {}


# ---- the network ----


def model(settings: Settings) -> Module | dict[str, Module]:
    """Return the network, freshly initialized from the framework's seed, in its default dtype.

    Several networks that are trained together (generator and discriminator) by name: their
    parameters are then called NAME.PARAMETER.
    """


def load_weights(model: Module, path: str) -> None:
    """Load a .safetensors in torch's layout, or a file of this framework, as the project does.

    Without it portproof carries the weights itself, and says that the project's loader was not
    looked at.
    """


def forward(model: Module, batch: Batch) -> Tensor | tuple | dict:
    """Return what the network gives for a batch of tensors, nested as the project likes.

    Without it: model(first entry of the batch). For diffusion: model(batch["x"], batch["t"]).
    """


def loss(outputs: Any, batch: Batch) -> Tensor | dict[str, Tensor]:
    """Return the scalar that is minimized, or {"total": ..., "kl": ...}, of which the first is.

    Import what the project's step computes: a copy in the port file proves the copy. Not asked of a
    port that has train().
    """


# ---- a step ----


def optimizer(model: Module, steps_per_epoch: int, settings: Settings) -> Any:
    """Return an optimizer, or (optimizer, schedule); a list of either where there are several.

    In the order in which a step uses them. The schedule is the framework's object.
    """


def train_step(model: Module, optimizers: Any, batch: Batch) -> Tensor | dict[str, Tensor]:
    """Take one whole step as the project does; return its loss or losses by name, detached.

    Forward, backward, clipping, update, clearing, and the schedule where the project steps it at
    each step. `optimizers` is what optimizer() returned. Without it portproof clears, runs forward
    and loss, goes backward, updates, and steps each schedule once.
    """


def end_epoch(optimizers: Any, results: dict[str, float]) -> None:
    """Do what the project does at the end of an epoch: step a schedule by epoch, or by an error."""


def save(model: Module, optimizers: Any, path: str) -> None:
    """Write all that a run needs to resume."""


def restore(model: Module, optimizers: Any, path: str) -> None:
    """Put back what `save` wrote. With both, the checkpoint `resume` runs by parts."""


# ---- the whole loop ----


def train(observer: "Observer | None", settings: Settings) -> dict[str, Any] | None:
    """Run the project's own training from its start to its end, and tell `observer` of it.

    Returns what the last evaluation says: {"results": {...}, "predicted": array or None}. With
    settings["eval_only"] it only evaluates settings["weights"]. Lets pass whatever an observer
    raises. Started with the launcher's environment, it is one of several processes.
    """


class Observer(Protocol):
    """What a loop tells. portproof implements it; the loop calls it by these names.

    Everything that the loop does with a batch lies between begin_batch and end_batch. Gradients,
    updates, rates, modes and outputs are seen by hooks on what `start` hands over.
    """

    wants_files: bool  # False: the loop may leave out checkpoints of epochs, curves and the like

    def start(self, state: Any) -> None:
        """Called once, before the first step, when weights and a checkpoint have been loaded.

        `state.model`: as in model(). `state.optimizer`: one, or a list in the order of use.
        """

    def batches(self, batches: Iterable[tuple], epoch: Any) -> Iterable[tuple]:
        """Return the batches to train on: `batches`, or given ones, which are then not touched.

        `epoch.number` from 0, `epoch.first_batch` (after a break), `len(epoch)` batches in all.
        """

    def begin_batch(self, batch: Any, *inputs: Tensor) -> None:
        """Called before the forward pass.

        `batch.number` in the epoch; `batch.weight` of its mean loss in that of the step;
        `batch.first_sample`: samples of the step's whole batch that are other processes'.
        """

    def end_batch(self, loss: Tensor | dict[str, Tensor]) -> bool:
        """Called when the loop is done with a batch; `loss` as the loop reports it.

        True: save a checkpoint and leave, on the way that SIGTERM takes (SystemExit).
        """

    def end_epoch(self, results: dict[str, float]) -> None:
        """Called after the evaluation of an epoch."""


# ---- data, evaluation, use ----


def batches(split: str, epoch: int, settings: Settings) -> Iterator[Batch]:
    """Yield the arrays of an epoch of "train" or "val", as the project's own loader gives them.

    dtypes, shapes, order and sizes of "images" and "labels", else of the first two entries, are
    compared. So is a second reading of the epoch with settings["workers"] = 0, in this process,
    where Pillow is watched. A loader that a training keeps through its epochs should be kept.
    """


def samples(split: str, settings: Settings) -> dict[str, list[str]]:
    """Return {"classes": names in the order of labels, "paths": the file of each sample}.

    By its place in the data set, not in an epoch. Optional: it lets a finding name files.
    """


def listen_to_draws(listener: Callable[[str, dict[str, Any], Any], None] | None) -> None:
    """Have `listener(name, arguments, result)` called at each draw of the data; None: no more.

    With it a finding says which argument of a draw differs. `name` is "order", of an epoch's
    samples, or "crop" or "flip", of the image whose file was opened last; `arguments` are by name,
    the same on both sides.
    """


def evaluate(model: Callable, batches: list[Batch]) -> dict[str, float]:
    """Return the project's own metrics of these batches of tensors.

    `model` may return its input: then the batches are logits, of unequal sizes and with ties. The
    mode (train, eval) in which it is run is noted.
    """


def metric(outputs: Any, batch: Batch) -> dict[str, float]:
    """Return metrics of one batch, if there is no evaluate(); the mean over the samples counts."""


def export(model: Module, folder: str, settings: Settings) -> dict[str, Callable]:
    """Return, by the name of each of the project's formats, what writes the model into `folder`.

    Called without arguments it returns what runs the model that it wrote: images [N, ...] to
    logits, both arrays. "live", if given, returns how the project runs the model in float32. What
    raises is a finding of that format alone.
    """


PORT = "port.py"  # what a port file is called in the folder of its project
# What each checkpoint asks of both ports: all functions of one of these ways.
PARTS = [["model", "optimizer", "train_step"], ["model", "optimizer", "loss"]]
LOOP = ["model", "train"]
EITHER = [LOOP, *PARTS]
NEEDS: dict[str, list[list[str]]] = {
    "init": [["model"]],
    "forward": [["model"]],
    "data": [["batches"]],
    "metric": [["evaluate"], ["metric"]],
    "loss": EITHER,
    "backward": EITHER,
    "lr": EITHER,
    "optimizer": EITHER,
    "train_data": [["batches"]],
    "training": EITHER,
    "resume": [LOOP, *([*way, "save", "restore"] for way in PARTS)],
    "distributed": [LOOP],
    "inference": [["model", "export"]],
}


def lacking(checkpoint: str, functions: Iterable[str]) -> list[list[str]]:
    """Return, of each way to a checkpoint, the functions that a port lacks; none: it can run."""
    ways = [[name for name in way if name not in functions] for way in NEEDS[checkpoint]]
    return [] if [] in ways else [way for n, way in enumerate(ways) if way not in ways[:n]]
