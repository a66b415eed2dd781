"""What tools ask of the training: a function for each part of a request to probe.py.

Each runs train.main() by rehearsal.py and returns what it noted, for JSON; arrays go to files.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

import checkpoint
import distributed
import optim
import presets
import train
from common import state, summaries
from common.facts import Facts
from rehearsal import NO_STOP, Done, Recorder, load_batches, rehearse, repeated, replaced


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
        return torch.zeros([]), torch.zeros([len(labels), 1 + max(rows[-1]["labels"])])

    rehearse(options, out_dir / "run", "float32", None, step)
    return {"rows": rows}


def record_init(out_dir: Path, options: list[str], most: int) -> dict[str, Any]:
    """Write at most `most` values of each parameter of a new network, evenly spread."""
    found = {}

    def step(original, model, *rest):
        for name, value in model.named_parameters():
            flat = value.detach().numpy().reshape(-1)
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
                logits = torch.tensor(case["logits"], dtype=torch.float64, requires_grad=True)
                labels = torch.tensor(case["labels"])
            loss = criterion(logits, labels)
            loss.sum().backward()
            gradient = logits.grad.numpy().tolist()
            found.append({"loss": loss.detach().numpy().tolist(), "gradient": gradient})
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
    network.register_forward_hook(lambda module, *rest: modes.add(module.training))
    for file in cases:
        with np.load(file) as case:
            logits, labels, sizes = case["logits"], case["labels"], case["sizes"].tolist()
        ends = np.cumsum(sizes).tolist()
        slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        batches = [(torch.tensor(logits[one]), torch.tensor(labels[one])) for one in slices]
        loader = SimpleNamespace(
            dataset=range(len(labels)), batch_sampler=SimpleNamespace(epoch=0, batch_size=1)
        )
        with replaced(
            train, read_batches=lambda loader, epoch, first=0, device=None, own=batches: iter(own)
        ):
            network.train()
            results = evaluate(network, nn.CrossEntropyLoss(), loader, torch.device("cpu"))
        found.append({name: float(value) for name, value in results.results.items()})
    return {"cases": found, "mode": "train" if True in modes else "eval"}


class Touch(nn.Module):
    """Stands for the network: its output's gradient is 1 at one element of each parameter."""

    def __init__(self, parameters: dict[str, Any], place: int) -> None:
        super().__init__()
        self.given = [value.reshape([-1])[place : place + 1] for value in parameters.values()]

    def forward(self, images):
        return sum(self.given[1:], self.given[0]).sum().reshape([1, 1])


class Weigh(nn.Module):
    """Stands for the network: its output's gradient is given, for each parameter."""

    def __init__(self, parameters: dict[str, Any], gradients: dict[str, Any]) -> None:
        super().__init__()
        self.given = [(value, gradients[name]) for name, value in parameters.items()]

    def forward(self, images):
        return sum((value * gradient).sum() for value, gradient in self.given).reshape([1, 1])


def stand_in(original: Callable, network: nn.Module, *rest) -> tuple:
    """Take the tree's own step with another network, whose output is the loss."""
    optimizer, scheduler, images, labels, *more = rest
    loss, _ = original(
        *(network, lambda logits, labels: logits.sum(), optimizer, scheduler, images, labels),
        *more,
    )
    return loss, torch.zeros([len(labels), 2], dtype=loss.dtype)


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
        parameters = {
            name: value for name, value in model.named_parameters() if value.numel() <= most
        }
        if not found:
            with torch.no_grad():
                for value in model.parameters():
                    value.zero_()
        place = len(found)
        fresh = {name: value for name, value in parameters.items() if value.numel() > place}
        row = {"reported": optim.current_lr(rest[0])}
        taken = stand_in(original, Touch(fresh, place), *rest)
        row["used"] = {
            name: -float(value.detach().reshape([-1])[place]) for name, value in fresh.items()
        }
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
        parameters = {n: value for n, value in model.named_parameters() if value.requires_grad}
        gradients = {}
        for name, shape in recorder.shapes.items():
            number, turned = numbers.get(name, 0), recorder.is_turned(name)
            array = summaries.pattern(shape, len(recorder.rows), number, turned)
            gradients[name] = torch.tensor(array, dtype=getattr(torch, dtype))
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
