"""What is asked of a port's training: a function for each part of a request; JSON comes out.

Each runs the port's own loop with an observer; arrays go into the job's folder.
"""

import shutil
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import numpy as np

from portproof.backends import backend, shared
from portproof.port import Batch, Settings
from portproof.system.errors import first_line
from portproof.worker.drive import INPUTS, load_weights, run_model
from portproof.worker.job import Job
from portproof.worker.observers import FirstBatches, FirstModel, LogitsGiven, RatesUsed
from portproof.worker.port_file import PortFile
from portproof.worker.recorder import GradientRecorder, Plan, Recorder
from portproof.worker.source import Report, Stack, lines_noted, user_stack


class Batches:
    """Batches (images [N, ...], labels [N]) of files, one a step, each read when it is due."""

    def __init__(self, files: dict[str, str]) -> None:
        """`files`: a `folder` with those of each of `steps`; batches may differ in size."""
        self.folder, self.steps = files["folder"], int(files["steps"])

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[np.ndarray]:
        return [np.load(f"{self.folder}/{name}-{step}.npy") for name in INPUTS]


def record_training(
    job: Job, dtype: str, plan: dict[str, Any], batches: dict[str, str] | None = None
) -> Report:
    """Note the first steps of the training, on given batches or on the port's own."""
    inputs = None if batches is None else Batches(batches)
    return job.watch(Recorder(job.folder, Plan(**plan), inputs), dtype)


def record_first_batches(job: Job, steps: int) -> Report:
    """Write the first batches that the training reads: images-0.npy [N, 3, S, S], labels-0.npy."""
    return job.watch(FirstBatches(job.folder, steps), "float32")


def record_init(job: Job, most: int) -> Report:
    """Write at most `most` values of each parameter of a new network, evenly spread."""
    watcher = FirstModel()
    if job.port.has("train"):
        job.watch(watcher, "float32")
    else:
        backend.seed(job.settings["seed"])
        watcher.model = job.make_network()
    arrays = {}
    for name, parameter in shared.parameters(watcher.model).items():
        flat = backend.to_numpy(parameter).reshape(-1)
        arrays[name] = flat[:: -(-flat.size // most)]
    np.savez(job.folder / "init.npz", **arrays)
    return watcher.report()


def record_loss(job: Job, cases: list[str]) -> Report:
    """Note the loss that the port's own step makes of given logits [N, C] and labels [N]."""
    noted: list[Report] = []
    while len(noted) < len(cases):  # more than once where the loop leaves at a loss of NaN
        watcher = LogitsGiven(cases[len(noted) :])
        folder = str(job.folder / f"run-{len(noted)}")
        report = job.watch(watcher, "float64", output_dir=folder)
        noted += report["rows"]
    return {"stacks": report["stacks"], "cases": noted}


def record_evaluation(job: Job, cases: list[str]) -> Report:
    """Give the port's own evaluation batches of logits [N, C] in place of images.

    It is given a network in training mode; the mode in which it runs it is noted.
    """
    network, modes = backend.nn.Identity(), set()
    stacks: dict[str, Stack] = {"forward": [], "evaluate": []}

    def before(inputs: Any) -> None:
        stacks["forward"] = user_stack()
        modes.add(network.training)

    shared.on_layer(network, before, lambda outputs: None)
    rows = []
    for file in cases:
        with np.load(file) as case:
            ends = np.cumsum(case["sizes"])[:-1]
            parts = np.split(case["logits"], ends), np.split(case["labels"], ends)
        batches = [
            {"images": backend.to_tensor(logits), "labels": backend.to_tensor(labels)}
            for logits, labels in zip(*parts, strict=True)
        ]
        network.train()
        with lines_noted(stacks["evaluate"]):
            metrics = evaluate(job.port, network, batches)
        rows.append({name: float(metric) for name, metric in metrics.items()})
    return {"stacks": stacks, "cases": rows, "mode": "train" if True in modes else "eval"}


def evaluate(port: PortFile, network: Any, batches: list[Batch]) -> dict[str, float]:
    """Return the port's metrics of these batches, or the mean over the samples of its metric()."""
    if port.has("evaluate"):
        return port.evaluate(network, batches)
    sizes = [len(batch["labels"]) for batch in batches]
    rows = [port.metric(batch["images"], batch) for batch in batches]  # logits in place of images
    metrics = {name: [float(row[name]) for row in rows] for name in rows[0]}
    return {name: float(np.average(m, weights=sizes)) for name, m in metrics.items()}


def record_lr(job: Job, most: int) -> Report:
    """Note the learning rate that the optimizer uses at each step, and what the loop says it is."""
    return job.watch(RatesUsed(most), "float64")


def record_optimizer(job: Job, dtype: str, plan: dict[str, Any], numbers: dict[str, int]) -> Report:
    """Note what the optimizer does with given gradients, the same in both frameworks."""
    recorder = GradientRecorder(job.folder, Plan(**plan), numbers, dtype)
    return job.watch(recorder, dtype)


def record_resume(
    job: Job, epochs: int, after: int, batches: dict[str, str], traced: bool
) -> Report:
    """Note so many epochs without a break, and what comes after a break at step `after`.

    `called`: the lines that run until all is put back, if `traced`.
    """
    inputs, restoring = Batches(batches), ExitStack()

    class Resumed(Recorder):
        def start(self, state: Any) -> None:
            restoring.close()
            super().start(state)

    def watch(name: str, watcher: Recorder, **settings: Any) -> Report:
        settings |= {"epochs": epochs, "output_dir": str(job.folder / name)}
        return job.watch(watcher, "float64", **settings)

    report: Report = {"error": None, "called": []}
    plan = Plan(since=after)  # until then both runs are one
    report["unbroken"] = watch("unbroken", Recorder(job.folder, plan, inputs))
    plan = Plan(stop_after=after, kinds=[])
    with suppress(SystemExit):  # the run leaves as after a signal
        watch("run", Recorder(job.folder, plan, inputs))
    watcher = Resumed(job.folder, Plan(first_step=after), inputs)
    try:
        with restoring:
            restoring.enter_context(lines_noted(report["called"], traced))
            watch("run", watcher, resume=str(job.folder / "run"))
    except Exception as error:  # that it cannot be resumed is a finding
        report["error"] = f"{type(error).__name__}: {error}"
    return report | {"resumed": watcher.report()}


def record_evaluate(job: Job, settings: Settings) -> Report:
    """Note what the port's own evaluation of its images says, with these settings too."""
    ran: Stack = []
    with lines_noted(ran):
        evaluation = job.train(None, job.settings | settings | {"eval_only": True})
    predicted = evaluation["predicted"].tolist()
    return {"results": evaluation["results"], "predicted": predicted, "ran": ran}


def run_live(job: Job, network: Any, images: np.ndarray) -> np.ndarray:
    """Return the port's logits of images [N, ...] in evaluation mode, both arrays."""
    network.eval()
    with backend.framework.no_grad():
        outputs = run_model(job.port, network, {INPUTS[0]: backend.to_tensor(images)})
    return backend.to_numpy(shared.tensors_of(outputs)[0])


def record_inference(job: Job, images: str, batches: list[int], traced: bool) -> Report:
    """Export the network in every format, and write what it and the exported ones say of images.

    `images` is a file of [N, 3, S, S], float32, of which each batch takes the first ones. `called`:
    the lines that run in an export, if `traced`.
    """
    pixels, rows = np.load(images), []
    network = job.make_network()
    if job.settings.get("weights"):
        load_weights(job.port, network, job.settings["weights"])
    folder = job.folder / "exported"
    folder.mkdir()
    formats = job.port.export(network, str(folder), job.settings)
    live = formats.pop("live")() if "live" in formats else partial(run_live, job, network)
    for batch in batches:
        np.save(job.folder / f"live-{batch}.npy", live(pixels[:batch]))
    for name, write in formats.items():
        row = {"format": name, "error": None, "batches": {}, "called": []}
        rows.append(row)
        try:
            with lines_noted(row["called"], traced):
                run = write()
        except Exception as error:  # that it cannot be exported is a finding
            row["error"] = f"{type(error).__name__}: {first_line(error)}"
            continue
        for batch in batches:
            row["batches"][batch] = None
            try:
                logits = [run(pixels[:batch]) for _ in range(2)]
            except Exception as error:  # nor run
                row["batches"][batch] = f"{type(error).__name__}: {first_line(error)}"
            else:
                np.save(job.folder / f"{name}-{batch}.npy", np.stack(logits))
    shutil.rmtree(folder)
    return {"formats": rows}
