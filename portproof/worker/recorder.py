"""Watch a training loop from within its own process, and note each step. Knows no framework.

The loop calls the methods of an Observer (portproof/port.py). All else is seen by hooks.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from portproof.backends import backend, shared
from portproof.numeric import fingerprints, philox
from portproof.port import Observer
from portproof.worker.source import Report, Stack, user_stack

# For stand-ins: a batch of one black pixel, images [1, 3, 1, 1] and labels [1].
ONE_IMAGE = np.zeros([1, 3, 1, 1], np.float32), np.zeros([1], np.int64)
CLASSES = 5  # of the zeros that stand for logits


class Done(Exception):
    """Enough has been seen."""


@dataclass(frozen=True)
class Plan:
    """What of a training is noted, and for how long."""

    steps: int = 0  # enough; 0: to the end of the run
    seed: int = 0  # of the dropout masks
    first_step: int = 0  # number of the first step, which its masks depend on
    stop_after: int = 0  # steps, after which the loop is asked to save and leave; 0: never
    evaluates: bool = False  # the network stays in evaluation mode
    kinds: list[str] | None = None  # of tensors that are noted; None: all
    since: int = 0  # the first step of which tensors are noted
    # By step, the tensors of which everything is written, such as "gradient fc.weight".
    full: dict[str, list[str]] = field(default_factory=dict)


class Watcher(Observer):
    """An observer that notes nothing; the base of those that do.

    `inputs`: arrays of each step, used over and over, in place of what the loop's loader gives.
    """

    wants_files = False  # they take long, and nothing is learned from them here

    def __init__(self, inputs: Iterable | None = None) -> None:
        self.inputs = inputs
        self.rows: list[Report] = []  # what was noted of each step
        self.row: Report | None = None  # of the step that the loop is in
        self.hooks = ExitStack()  # what removes them
        # Where the user's code did what first: made the optimizer, went backward, and so on.
        self.stacks: dict[str, Stack] = {}
        self.is_lost = False  # a loss was no finite number

    def batches(self, batches: Iterable[tuple], epoch: Any) -> Iterable[tuple]:
        """Return `batches`, or the given ones; an epoch begins where the one before ended."""
        if self.inputs is None:
            return batches
        start = epoch.number * len(epoch)
        numbers = range(start + epoch.first_batch, start + len(epoch))
        steps = (self.inputs[number % len(self.inputs)] for number in numbers)
        return ([backend.to_tensor(array) for array in arrays] for arrays in steps)

    def loss_of(self, loss: Any) -> np.ndarray:
        """Return the loss [] that is minimized as an array; of several by name it is the first."""
        array = backend.to_numpy(minimized(loss))
        self.is_lost = self.is_lost or not np.isfinite(array)
        return array

    def mask(self, shape: list[int], p: float) -> np.ndarray:
        """Return which units the next dropout keeps: all."""
        return np.ones(shape, bool)

    @contextmanager
    def watching(self, dtype: str) -> Iterator[None]:
        """Within, a loop may be run in `dtype`; it may fail where its loss is no finite number."""
        dropout = shared.shared_dropout(self.mask, lambda call: None)
        made = shared.noting_made(lambda made: self.note_stack(shared.role(made), made))
        backward = partial(self.note_stack, "backward")
        self.hooks.callback(shared.before_each(backend.Tensor, "backward", backward))
        with shared.default_dtype(dtype), dropout, made, self.hooks:
            try:
                yield
            except Exception as error:
                if not isinstance(error, Done) and not self.is_lost:
                    raise

    def note_stack(self, event: str, made: Any = None) -> None:
        """Keep which lines of the user's code led to an event, the first time."""
        if event not in self.stacks:
            self.stacks[event] = user_stack(made)

    def close_row(self, row: Report, enough: int = 0) -> None:
        """Keep what was noted of a step; of so many steps it is enough."""
        self.rows.append(row)
        self.row = None
        if len(self.rows) == enough:
            raise Done

    def report(self) -> Report:
        """Return all that was noted, ready for JSON."""
        return {"stacks": self.stacks, "rows": self.rows}


class Recorder(Watcher):
    """Notes what goes into each step, what comes out, and what the optimizers do."""

    def __init__(self, folder: Path, plan: Plan, inputs: Iterable | None = None) -> None:
        """`folder`: for the logits of each step, and for what `plan.full` names."""
        super().__init__(inputs)
        self.folder, self.plan = folder, plan
        self.tensors: list[dict[str, dict]] = []  # of each step: kind -> name -> fingerprint
        self.shapes: dict[str, list[int]] = {}
        self.buffers: dict[str, list[int]] = {}  # the shapes of running statistics
        self.turned: set[str] = set()  # parameters that lie as [in, out]
        self.step, self.first_sample, self.dropout_numbers = plan.first_step, 0, count()
        self.outputs: np.ndarray | None = None

    def start(self, state: Any) -> None:
        self.model = state.model
        several = isinstance(state.optimizer, (list, tuple))
        self.optimizers = state.optimizer if several else [state.optimizer]
        self.turned = shared.transposed(self.model)
        self.buffers = shapes_of(backend.running_statistics(self.model))
        self.shapes = shapes_of(shared.parameters(self.model))
        self.hooks.callback(shared.on_layer(self.model, self.before_forward, self.after_forward))
        for optimizer in self.optimizers:
            before = partial(self.before_update, optimizer)
            self.hooks.callback(backend.on_update(optimizer, before))

    def begin_batch(self, batch: Any, *inputs: Any) -> None:
        if self.row is not None:  # the loop has left the batch before, and said nothing
            self.tensors.append(self.noted)
            self.close_row(self.row | {"loss": None, "dtype": None})
        if self.plan.evaluates:
            self.model.eval()
        self.step, self.dropout_numbers = self.plan.first_step + len(self.rows), count()
        self.first_sample = batch.first_sample
        images, *labels = (backend.to_numpy(tensor) for tensor in inputs)
        summary = fingerprints.summarize(images).tolist()
        self.row = {"images": summary, "labels": labels[0].tolist() if labels else []}
        self.noted: dict[str, dict] = {}
        self.note("old buffers", backend.running_statistics(self.model))
        if not self.rows:
            self.note("start", shared.parameters(self.model))

    def end_batch(self, loss: Any) -> bool:
        self.note("after", shared.parameters(self.model))
        state = {}
        for optimizer in self.optimizers:
            state |= backend.optimizer_state(self.model, optimizer)
        self.note("state", state)
        self.note("buffers", backend.running_statistics(self.model))
        minimum = self.loss_of(loss)
        if self.outputs is not None:
            np.save(self.folder / f"logits-{len(self.rows)}.npy", self.outputs)
        self.tensors.append(self.noted)
        ending = {"loss": float(minimum), "dtype": str(minimum.dtype)}
        self.close_row(self.row | ending, self.plan.steps)
        return len(self.rows) == self.plan.stop_after

    # ---- what the hooks call: within a step alone, since an evaluation runs the model too ----

    def before_forward(self, inputs: Any) -> None:
        if self.row is not None:
            self.note_stack("forward")
            self.row.setdefault("mode", "train" if self.model.training else "eval")

    def after_forward(self, outputs: Any) -> None:
        if self.row is not None:
            first = shared.tensors_of(outputs)[0]
            self.outputs = backend.to_numpy(first).copy()

    def before_update(self, optimizer: Any) -> None:
        if self.row is None:
            return
        self.note_stack("update")
        self.row.setdefault("lr", backend.learning_rate(optimizer))
        parameters = shared.parameters(self.model)
        if len(self.optimizers) > 1:
            updated = {id(parameter) for parameter in backend.trained_by(optimizer)}
            parameters = {name: p for name, p in parameters.items() if id(p) in updated}
        self.note("before", parameters)
        self.note("gradient", {name: param.grad for name, param in parameters.items()})

    def note(self, kind: str, tensors: dict[str, Any]) -> None:
        """Keep fingerprints of these tensors, and write out those that are wanted in full."""
        number, noted = len(self.rows), self.noted.setdefault(kind, {})
        unwanted = self.plan.kinds is not None and kind not in self.plan.kinds
        if unwanted or number < self.plan.since:
            return
        for name, tensor in tensors.items():
            noted[name] = None
            if tensor is not None:
                array = backend.to_numpy(tensor)
                turned = name.partition(" ")[0] in self.turned
                noted[name] = fingerprints.summarize(array, turned).tolist()
                if f"{kind} {name}" in self.plan.full.get(str(number), []):
                    file = self.folder / f"{number}-{kind}-{name}.npy"
                    np.save(file, array.T if turned else array)

    def mask(self, shape: list[int], p: float) -> np.ndarray:
        """Return which units the next dropout keeps: the same in both frameworks."""
        seed, number = self.plan.seed, next(self.dropout_numbers)
        return philox.dropout_mask(seed, self.step, number, shape, p, self.first_sample)

    def report(self) -> Report:
        tensors = {"tensors": self.tensors, "shapes": self.shapes, "buffers": self.buffers}
        return super().report() | tensors


def shapes_of(tensors: dict[str, Any]) -> dict[str, list[int]]:
    """Return the shapes of tensors by name."""
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def minimized(loss: Any) -> Any:
    """Return the loss [] that is minimized: of several by name the first."""
    return next(iter(loss.values())) if isinstance(loss, dict) else loss


class GradientRecorder(Recorder):
    """Notes what the optimizers do with given gradients, the same in both frameworks.

    They add to what a parameter has: a gradient that the loop does not clear, or clips, shows.
    """

    def __init__(self, folder: Path, plan: Plan, numbers: dict[str, int], dtype: str) -> None:
        """`numbers` tells by a parameter's name which gradients it is given."""
        super().__init__(folder, plan, [ONE_IMAGE])
        self.numbers, self.dtype = numbers, dtype

    def start(self, state: Any) -> None:
        super().start(state)
        stand_in_zeros(self, self.model, shared.parameters(self.model))

    def gradient_of(self, name: str) -> Any:
        """Return the gradient that a parameter is given at this step."""
        turned, number = name in self.turned, self.numbers.get(name, 0)
        array = fingerprints.pattern(self.shapes[name], len(self.rows), number, turned)
        return backend.to_tensor(array.astype(self.dtype))


def stand_in_zeros(watcher: Watcher, model: Any, parameters: dict[str, Any]) -> None:
    """Have a model give zeros within steps, and gradients as watcher.gradient_of(name) says."""
    trained = {name: param for name, param in parameters.items() if param.requires_grad}
    original, evaluated = model.forward, []

    def forward(inputs: Any) -> Any:
        if watcher.row is not None:
            return backend.Touch.apply([len(inputs), CLASSES], *trained.values())
        if not evaluated:  # an evaluation: of the first batch it is learned what the model gives
            evaluated.append(original(inputs))
            return evaluated[0]
        if not isinstance(evaluated[0], backend.Tensor):
            return original(inputs)
        zeros = np.zeros([len(inputs), *evaluated[0].shape[1:]], np.float32)
        return shared.to_default(backend.to_tensor(zeros))

    model.forward = forward
    watcher.hooks.callback(delattr, model, "forward")
    for name, parameter in trained.items():
        hook = parameter.register_hook(lambda gradient, name=name: watcher.gradient_of(name))
        watcher.hooks.callback(hook.remove)
