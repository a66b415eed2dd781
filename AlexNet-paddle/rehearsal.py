"""Run this tree's own main() on given batches, and note each step: for tools that compare.

Nothing of the training is written here again: the network, the loss, the optimizer and the loop are
those of train.py, which runs as it always does. Only what it reads and what it writes is exchanged.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
from paddle import nn

import checkpoint
import distributed
import layers
import optim
import presets
import train
from common import keeper, state, summaries
from common.array_files import ArrayFiles
from common.facts import Facts

Batches = Callable[[Any, int], Iterator[tuple]]  # of a loader and an epoch, as read_batches
NO_STOP = SimpleNamespace(signal=0)
PLACE = SimpleNamespace(first_sample=0)  # of this process in the batch that is being trained on
Step = Callable[..., tuple]  # stands for train_step; its first argument is the original


class Done(Exception):
    """Enough has been seen."""


@contextmanager
def replaced(module: Any, **functions: Any) -> Iterator[None]:
    """Exchange functions of a module for others."""
    originals = {name: getattr(module, name) for name in functions}
    for name, function in functions.items():
        setattr(module, name, function)
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(module, name, function)


def rehearse(
    options: list[str],
    folder: Path,
    dtype: str,
    batches: Batches | None,
    step: Step,
    saves_after: int = 0,
) -> None:
    """Run train.main() with these options until `step` raises Done, or to its end.

    The network is made in `dtype`, and pictures are turned into it. Nothing is evaluated. One
    checkpoint is written, after step `saves_after` of all; 0: none.
    """
    steps = 0
    read, take, arguments = train.read_batches, train.train_step, sys.argv

    def read_batches(loader, epoch, first=0, device=None):
        own = batches(loader, epoch) if batches else read(loader, epoch, first)
        for number, (images, labels) in enumerate(own, 0 if batches else first):
            if number < first:
                continue
            PLACE.first_sample = loader.batch_sampler.first_sample(number)
            yield images.astype(dtype), labels

    def train_step(*given):
        nonlocal steps
        steps += 1
        return step(take, *given)

    def is_due(keeper):
        return steps == saves_after

    def save(keeper, progress, is_best=False):
        if steps == saves_after and progress.step:
            save_now(keeper, progress)

    save_now = keeper.Keeper.save

    def evaluate(model, criterion, loader, device, world_size):
        model.eval()
        nothing = {"val_loss": 0.0, "val_top1": 0.0, "val_top5": 0.0}
        return train.Evaluation(nothing, np.zeros(1, np.int64), np.zeros(1, np.float32))

    sys.argv = ["train.py", *options, "--output-dir", str(folder)]
    paddle.set_default_dtype(dtype)
    try:
        with (
            replaced(train, read_batches=read_batches, train_step=train_step, evaluate=evaluate),
            replaced(train, Stop=lambda: NO_STOP),  # signals are not for a probe
            replaced(keeper.Keeper, is_due=is_due, save=save),
            replaced(train.mistakes, write_page=lambda *given: None),
            replaced(train.plots, write_curves=lambda *given: None),
        ):
            train.main()
    except Done:
        pass
    finally:
        sys.argv = arguments
        paddle.set_default_dtype("float32")


def repeated(images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Batches:
    """Return batches that go through `images` and `labels`, of each step [N, 3, S, S] and [N].

    An epoch has as many batches as its loader says, and the next one goes on where it ended.
    """

    def read(loader, epoch):
        for place in range(epoch * len(loader), (epoch + 1) * len(loader)):
            at = place % len(images)
            yield paddle.to_tensor(images[at]), paddle.to_tensor(labels[at])

    return read


class Recorder:
    """Stands for train_step and notes what goes in, what comes out, and what the optimizer does."""

    def __init__(
        self,
        steps: int,
        seed: int,
        folder: Path,
        full: dict[str, list[str]],
        first: int = 0,
        kinds: list[str] | None = None,
        since: int = 0,
    ) -> None:
        """`full` names, by step, the tensors of which everything is written to `folder`.

        `first` is the number of the first step, of which its dropout masks depend. `kinds` names
        the tensors that are noted (None: all), from step `since` on, since each takes a while.
        """
        self.kinds = kinds
        self.since = since
        self.steps = steps
        self.masks = layers.Masks(seed)
        self.folder = folder
        self.full = full
        self.first = first
        self.rows: list[dict[str, Any]] = []
        self.tensors: list[dict[str, dict[str, list[float]]]] = []  # kind -> name -> summary
        self.shapes: dict[str, list[int]] = {}
        self.buffer_shapes: dict[str, list[int]] = {}
        self.turned: set[str] = set()  # parameters that lie as [in, out]

    def __call__(self, original, model, criterion, optimizer, scheduler, images, labels, *rest):
        network, model = model, distributed.unwrap(model)
        number = len(self.rows)
        row = {
            "images": summaries.summarize(images.numpy()).tolist(),
            "labels": labels.tolist(),
            "mode": "train" if model.training else "eval",
        }
        noted: dict[str, dict[str, Any]] = {}
        noted["old buffers"] = self.buffers(model)
        self.note(number, noted, ("old buffers",))
        if number == 0:
            noted["start"] = self.parameters(model)
            self.note(number, noted, ("start",))
        update = optimizer.step

        def step(*given, **options):
            row["lr"] = optim.current_lr(optimizer)
            noted["before"] = self.parameters(model)
            noted["gradient"] = self.gradients(model)
            self.note(number, noted, ("before", "gradient"))
            update(*given, **options)

        optimizer.step = step
        self.masks.begin(self.first + number, PLACE.first_sample)
        try:
            loss, logits = original(network, criterion, optimizer, scheduler, images, labels, *rest)
        finally:
            optimizer.step = update
        noted["after"] = self.parameters(model)
        noted["state"] = self.state(model, optimizer)
        noted["buffers"] = self.buffers(model)
        self.note(number, noted, ("after", "state", "buffers"))
        row["loss"] = float(loss)
        row["dtype"] = str(loss.dtype).rpartition(".")[2]
        np.save(self.folder / f"logits-{number}.npy", logits.numpy())
        self.rows.append(row)
        self.tensors.append(noted)
        if len(self.rows) == self.steps:
            raise Done
        return loss, logits

    def sharing_dropout(self) -> AbstractContextManager:
        """Within, every dropout drops what this step's dropouts drop in the other framework.

        Once for all steps: it looks through every module of the process.
        """
        return layers.shared_dropout(self.masks, lambda dropout: None)

    def note(self, number: int, noted: dict[str, dict[str, Any]], kinds: tuple[str, ...]) -> None:
        """Turn tensors into summaries, and write out those that are wanted in full."""
        for kind in kinds:
            unwanted = self.kinds is not None and kind not in self.kinds
            if unwanted or number < self.since:
                noted[kind] = {}
            for name, array in noted[kind].items():
                if array is None:
                    continue
                if f"{kind} {name}" in self.full.get(str(number), []):
                    file = f"{number}-{kind}-{name}.npy"
                    np.save(self.folder / file, array.T if self.is_turned(name) else array)
                noted[kind][name] = summaries.summarize(array, self.is_turned(name)).tolist()

    def is_turned(self, name: str) -> bool:
        return name.partition(" ")[0] in self.turned

    def parameters(self, model: nn.Layer) -> dict[str, Any]:
        """Return the parameters by name, as arrays that later steps change."""
        found = dict(model.named_parameters())
        modules = dict(model.named_sublayers(include_self=True))
        self.turned = {
            name
            for name in found
            if name.endswith(".weight")
            and layers.layout(modules[name.rpartition(".")[0]]) == "in, out"
        }
        self.shapes = {name: list(value.shape) for name, value in found.items()}
        return {name: np.from_dlpack(value.detach()) for name, value in found.items()}

    def buffers(self, model: nn.Layer) -> dict[str, Any]:
        """Return the running statistics of normalization layers, as arrays."""
        kept = model.state_dict().items()  # Paddle counts them among the parameters
        found = {name: value for name, value in kept if name.endswith(("._mean", "._variance"))}
        self.buffer_shapes = {name: list(value.shape) for name, value in found.items()}
        return {name: np.from_dlpack(value.detach()) for name, value in found.items()}

    def gradients(self, model: nn.Layer) -> dict[str, Any]:
        """Return the gradients by the parameter's name; None where there is none."""
        return {
            name: None if value.grad is None else np.from_dlpack(value.grad.detach())
            for name, value in model.named_parameters()
        }

    def state(self, model: nn.Layer, optimizer) -> dict[str, Any]:
        """Return the optimizer's tensors, as "parameter velocity" and the like."""
        found = {}
        names = {value.name: name for name, value in model.named_parameters()}
        for key, tensor in optimizer.state_dict().items():
            own = max((own for own in names if key.startswith(own + "_")), key=len, default=None)
            if own is not None and list(tensor.shape) == self.shapes[names[own]]:
                role = key[len(own) + 1 :].rpartition("_")[0]  # conv2d_0.w_0_velocity_0
                found[f"{names[own]} {role}"] = np.from_dlpack(tensor.detach())
        return found

    def report(self) -> dict[str, Any]:
        """Return all that was noted, ready for JSON."""
        buffers = self.buffer_shapes
        found = {"rows": self.rows, "tensors": self.tensors, "shapes": self.shapes}
        return {**found, "buffers": buffers}


def record_training(
    out_dir: Path,
    options: list[str],
    steps: int,
    dtype: str,
    seed: int = 0,
    batches: dict[str, str] | None = None,
    training: bool = True,
    full: dict[str, list[str]] | None = None,
    kinds: list[str] | None = None,
) -> dict[str, Any]:
    """Note the first steps of the training, on given batches or on the tree's own."""
    recorder = Recorder(steps, seed, out_dir, full or {}, kinds=kinds)

    def step(original, model, *rest):
        if not training:
            model.eval()
        return recorder(original, model, *rest)

    with recorder.sharing_dropout():
        rehearse(options, out_dir / "run", dtype, load_batches(batches), step)
    return recorder.report()


def load_batches(files: dict[str, str] | None) -> Batches | None:
    if files is None:
        return None
    if "folder" in files:  # a file for each step: the last batch of an epoch may be smaller
        folder, steps = Path(files["folder"]), int(files["steps"])
        images, labels = (ArrayFiles(folder, name, steps) for name in ("images", "labels"))
        return repeated(images, labels)
    return repeated(np.load(files["images"]), np.load(files["labels"]))


def record_batches(out_dir: Path, options: list[str], steps: int) -> dict[str, Any]:
    """Write the first batches that the training reads: images-0.npy [N, 3, S, S], labels-0.npy."""
    rows = []

    def step(original, model, criterion, optimizer, scheduler, images, labels, *rest):
        number = len(rows)
        np.save(out_dir / f"images-{number}.npy", images.numpy())
        np.save(out_dir / f"labels-{number}.npy", labels.numpy())
        rows.append(
            {"images": summaries.summarize(images.numpy()).tolist(), "labels": labels.tolist()}
        )
        if len(rows) == steps:
            raise Done
        return paddle.zeros([]), paddle.zeros([len(labels), 1 + max(rows[-1]["labels"])])

    rehearse(options, out_dir / "run", "float32", None, step)
    return {"rows": rows}


def record_init(out_dir: Path, options: list[str], most: int) -> dict[str, Any]:
    """Write at most `most` values of each parameter of a new network, evenly spread."""
    found = {}

    def step(original, model, *rest):
        for name, value in model.named_parameters():
            flat = value.numpy().reshape(-1)
            found[name] = flat[:: -(-flat.size // most)].copy()
        raise Done

    nothing = repeated(np.zeros([1, 1, 3, 1, 1], np.float32), np.zeros([1, 1], np.int64))
    rehearse(options, out_dir / "run", "float32", nothing, step)
    np.savez(out_dir / "init.npz", **found)
    return {"names": list(found)}


def record_loss(out_dir: Path, options: list[str], cases: list[str]) -> dict[str, Any]:
    """Apply the tree's own loss to given logits [N, C] and labels [N], in float64."""
    found = []

    def step(original, model, criterion, *rest):
        for file in cases:
            with np.load(file) as case:
                logits = paddle.to_tensor(case["logits"], "float64", stop_gradient=False)
                labels = paddle.to_tensor(case["labels"])
            loss = criterion(logits, labels)
            loss.sum().backward()
            gradient = logits.grad.numpy().tolist()
            found.append({"loss": loss.numpy().tolist(), "gradient": gradient})
        raise Done

    nothing = repeated(np.zeros([1, 1, 3, 1, 1], np.float32), np.zeros([1, 1], np.int64))
    rehearse(options, out_dir / "run", "float64", nothing, step)
    return {"cases": found}


def record_evaluation(out_dir: Path, options: list[str], cases: list[str]) -> dict[str, Any]:
    """Give the tree's own evaluate() batches of logits [N, C] in place of pictures.

    It is given a network in training mode; the mode in which it runs it is noted.
    """
    evaluate, found, network = train.evaluate, [], nn.Identity()
    modes = set()
    network.register_forward_post_hook(lambda layer, *rest: modes.add(layer.training))
    for file in cases:
        with np.load(file) as case:
            logits, labels, sizes = case["logits"], case["labels"], case["sizes"].tolist()
        ends = np.cumsum(sizes).tolist()
        slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        batches = [(paddle.to_tensor(logits[one]), paddle.to_tensor(labels[one])) for one in slices]
        loader = SimpleNamespace(
            dataset=range(len(labels)), batch_sampler=SimpleNamespace(epoch=0, batch_size=1)
        )
        with replaced(
            train, read_batches=lambda loader, epoch, first=0, device=None, own=batches: iter(own)
        ):
            network.train()
            results = evaluate(network, nn.CrossEntropyLoss(), loader, "cpu")
        found.append({name: float(value) for name, value in results.results.items()})
    return {"cases": found, "mode": "train" if True in modes else "eval"}


class Touch(nn.Layer):
    """Stands for the network: its output's gradient is 1 at one element of each parameter."""

    def __init__(self, parameters: dict[str, Any], place: int) -> None:
        super().__init__()
        self.given = [value.reshape([-1])[place : place + 1] for value in parameters.values()]

    def forward(self, images):
        return sum(self.given[1:], self.given[0]).sum().reshape([1, 1])


class Weigh(nn.Layer):
    """Stands for the network: its output's gradient is given, for each parameter."""

    def __init__(self, parameters: dict[str, Any], gradients: dict[str, Any]) -> None:
        super().__init__()
        self.given = [(value, gradients[name]) for name, value in parameters.items()]

    def forward(self, images):
        return sum((value * gradient).sum() for value, gradient in self.given).reshape([1, 1])


def stand_in(original: Callable, network: nn.Layer, *rest) -> tuple:
    """Take the tree's own step with another network, whose output is the loss."""
    optimizer, scheduler, images, labels, *more = rest
    loss, _ = original(
        *(network, lambda logits, labels: logits.sum(), optimizer, scheduler, images, labels),
        *more,
    )
    return loss, paddle.zeros([len(labels), 2], dtype=loss.dtype)


def record_lr(out_dir: Path, options: list[str], most: int) -> dict[str, Any]:
    """Note the learning rate that the optimizer uses at each step, by what it does to a parameter.

    All parameters are 0 and at each step one other element has a gradient, of 1: it moves by the
    learning rate, whatever momentum and decay are. Parameters of more than `most` elements are left
    out. The network keeps its own place in the optimizer and the loop. What the optimizer keeps is
    noted too: one that keeps more than a velocity moves by more than its rate.
    """
    found, roles = [], set()
    recorder = Recorder(0, 0, out_dir, {})

    def step(original, model, criterion, *rest):
        parameters = {name: value for name, value in model.named_parameters() if value.size <= most}
        if not found:
            with paddle.no_grad():
                for value in model.parameters():
                    value.zero_()
        place = len(found)
        fresh = {name: value for name, value in parameters.items() if value.size > place}
        row = {"reported": optim.current_lr(rest[0])}
        taken = stand_in(original, Touch(fresh, place), *rest)
        row["used"] = {name: -float(value.reshape([-1])[place]) for name, value in fresh.items()}
        if not found:
            recorder.parameters(model)  # finds out their shapes
            kept = recorder.state(model, rest[0])
            roles.update(key.partition(" ")[2] for key in kept)
        found.append(row)
        return taken

    nothing = repeated(np.zeros([1, 1, 3, 1, 1], np.float32), np.zeros([1, 1], np.int64))
    rehearse(options, out_dir / "run", "float64", nothing, step)
    return {"rows": found, "roles": sorted(roles)}


def record_optimizer(
    out_dir: Path,
    options: list[str],
    steps: int,
    dtype: str,
    numbers: dict[str, int],
    full: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """Note what the optimizer does with given gradients, the same in both frameworks.

    `numbers` tells by a parameter's name which gradients it is given; partners have the same.
    """
    recorder = Recorder(steps, 0, out_dir, full or {})

    def step(original, model, criterion, *rest):
        recorder.parameters(model)  # finds out which lie transposed
        parameters = {n: value for n, value in model.named_parameters() if not value.stop_gradient}
        gradients = {}
        for name, shape in recorder.shapes.items():
            number, turned = numbers.get(name, 0), recorder.is_turned(name)
            array = summaries.pattern(shape, len(recorder.rows), number, turned)
            gradients[name] = paddle.to_tensor(array, dtype)
        weigh = Weigh(parameters, gradients)

        def weighed(model, criterion, *rest):
            return stand_in(original, weigh, *rest)

        return recorder(weighed, model, criterion, *rest)

    nothing = repeated(np.zeros([1, 1, 3, 1, 1], np.float32), np.zeros([1, 1], np.int64))
    rehearse(options, out_dir / "run", dtype, nothing, step)
    return recorder.report()


def record_resume(
    out_dir: Path, options: list[str], batches: dict[str, str], after: int
) -> dict[str, Any]:
    """Note two epochs without a break, and what comes after a checkpoint of step `after`."""
    given = load_batches(batches)
    found: dict[str, Any] = {"error": None}
    two = [*options, "--epochs", "2"]
    recorder = Recorder(0, 0, out_dir, {}, since=after)  # the same run until then
    with recorder.sharing_dropout():
        rehearse(two, out_dir / "unbroken", "float64", given, recorder)
    found["unbroken"] = recorder.report()
    recorder = Recorder(after + 1, 0, out_dir, {}, kinds=[])  # the last of them is lost
    with recorder.sharing_dropout():
        rehearse(two, out_dir / "first", "float64", given, recorder, after)
    last = str(out_dir / "first" / f"last{checkpoint.SUFFIX}")
    recorder = Recorder(0, 0, out_dir, {}, first=after)
    try:
        with recorder.sharing_dropout():
            again = [*two, "--resume", last]
            rehearse(again, out_dir / "first", "float64", given, recorder)
    except Exception as error:  # that it cannot be resumed is a finding
        found["error"] = f"{type(error).__name__}: {error}"
    return {**found, "resumed": recorder.report()}


def record_evaluate(out_dir: Path, options: list[str]) -> dict[str, Any]:
    """Note what the tree's own evaluation of its pictures says, with --eval-only."""
    evaluate, found = train.evaluate, {}

    def noted(*given):
        evaluation = evaluate(*given)
        found["results"] = evaluation.results
        found["predicted"] = evaluation.predicted.tolist()
        return evaluation

    arguments, sys.argv = sys.argv, ["train.py", *options, "--eval-only"]
    try:
        with replaced(train, evaluate=noted, Stop=lambda: NO_STOP):
            train.main()
    finally:
        sys.argv = arguments
    return found


def record_inference(
    out_dir: Path, options: list[str], images: str, image_size: int, batches: list[int]
) -> dict[str, Any]:
    """Export the network in every format, and write what it and the exported ones say of pictures.

    `images` is a file of [N, 3, S, S], float32, of which each batch takes the first ones.
    """
    import export  # what it needs is an extra of the project

    pictures, found = np.load(images), []
    known = Facts(image_size, presets.MEAN, presets.STD)

    def step(original, model, *rest):
        model = distributed.unwrap(model).eval()
        for batch in batches:
            np.save(out_dir / f"live-{batch}.npy", export.run_live(model, pictures[:batch]))
        for format, ending in export.FORMATS.items():
            path = out_dir / f"model{ending}"
            row = {"format": format, "error": None, "batches": {}}
            found.append(row)
            try:
                export.export(model.train(), path, format, known)  # as training leaves it
                run = export.open_exported(path).run
            except Exception as error:  # that it cannot be exported is a finding
                row["error"] = f"{type(error).__name__}: {state.first_line(error)}"
                continue
            for batch in batches:
                try:
                    logits = [run(pictures[:batch]) for _ in range(2)]
                except Exception as error:  # nor run
                    row["batches"][batch] = f"{type(error).__name__}: {state.first_line(error)}"
                    continue
                np.save(out_dir / f"{format}-{batch}.npy", np.stack(logits))
                row["batches"][batch] = None
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        raise Done

    nothing = repeated(np.zeros([1, 1, 3, 1, 1], np.float32), np.zeros([1, 1], np.int64))
    rehearse(options, out_dir / "run", "float32", nothing, step)
    return {"formats": found}


REPORTERS = {
    "inference": record_inference,
    "evaluate": record_evaluate,
    "read_batches": record_batches,
    "resume": record_resume,
    "training": record_training,
    "init": record_init,
    "loss": record_loss,
    "evaluation": record_evaluation,
    "lr": record_lr,
    "optimizer": record_optimizer,
}
