"""Two ports that train from the same weights on the same batches, and what they record."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from portproof.core import weight_files
from portproof.core.comparison import describe
from portproof.core.findings import Cause, Difference
from portproof.core.needs import ask_about
from portproof.core.step_compare import Reports, batches_differ, parameter_pairs
from portproof.core.tensor_compare import DTYPES
from portproof.networks import matching
from portproof.networks.matching import Match, Networks
from portproof.port import Settings
from portproof.system.frameworks import FRAMEWORKS
from portproof.weights import initial, tensors
from portproof.worker.cache import Records
from portproof.worker.client import Side, Sides, ask_both

CLASSES = 5
TRAIN_IMAGES = 4  # of each class: with BATCH images a batch, five steps an epoch
BATCH = 4
GAIN = 3**-0.5  # of drawn weights: that of PyTorch's own start, from which training is calm
IMAGE_SIZE = 64  # pixels
DROPOUT = 0.5
PASSED_ON = ("seed", "image_size", "batch_size", "model", "classes")  # settings of a port too
ROUNDED = ("lr", "momentum", "weight_decay")  # settings that are given as `exact` numbers


@dataclass(frozen=True)
class Request:
    """What both sides are asked to record.

    `settings` are those of the port, beside the usual ones; `weights` is the dtype of those that it
    starts from, None: random ones. `full` names, by side, the tensors of a step in full.
    """

    part: str
    settings: Settings = field(default_factory=dict)
    weights: str | None = None
    recording: dict[str, Any] = field(default_factory=dict)
    full: dict[str, dict[str, list[str]]] = field(default_factory=dict)


@dataclass
class TrainingPair:
    """Two ports, the weights that both start from, and small batches of drawn numbers."""

    sides: Sides
    folder: Path  # for all that is written
    seed: int = 0
    weights: Path | None = None
    data_path: Path | None = None  # with train/<class>/* and val/<class>/*; none: what `draw` makes
    image_size: int = IMAGE_SIZE
    batch_size: int = BATCH
    model: str | None = None  # which of a port's networks
    draw: Callable[[Path], Path] | None = None  # makes a small folder of images
    records: Records = field(default_factory=Records)
    networks: Networks = field(default_factory=dict)
    match: Match = field(default_factory=Match)
    files: dict[tuple[str, str], Path] = field(default_factory=dict)  # weights by side and dtype
    classes: int = CLASSES  # of the images
    images: int = CLASSES * TRAIN_IMAGES  # of train
    about: Reports = field(default_factory=dict)  # by side: functions, settings
    requests: int = 0  # so far

    def begin(self) -> None:
        """Draw images if there are none, and ask what the ports define, once. Raises UserError."""
        if self.about:
            return
        if self.data_path is None and self.draw is not None:
            self.data_path = self.draw(self.folder / "images")
        if self.data_path is not None:
            self.classes = len(list((self.data_path / "train").iterdir()))
            self.images = sum(1 for _ in (self.data_path / "train").glob("*/*"))
        self.about = ask_about(self.sides, self.folder / "ports")

    def prepare(self) -> None:
        """Describe and pair the networks, write the weights, once. Raises a side's UserError."""
        self.begin()
        if self.files:
            return
        settings = {"model": self.model, "dropout": DROPOUT, "classes": self.classes}
        sides = {}
        for name, side in self.sides.items():
            sides[name] = replace(side, settings=side.settings | settings)
        shape = [1, 3, self.image_size, self.image_size]
        self.networks = describe(sides, self.folder / "networks", shape, "float32")
        self.match = matching.match(self.networks["torch"], self.networks["paddle"])
        files = weight_files.read_named(sides, self.folder / "read", self.weights)
        held = initial.give_weights(files, self.networks, self.match, self.seed, GAIN).held
        torch, paddle = held["torch"], held["paddle"]
        same = torch.keys() == paddle.keys() and all(torch[key] is paddle[key] for key in torch)
        for dtype in DTYPES:  # the network is made in the dtype of its weights
            self.files["torch", dtype] = self._write_weights("torch", torch, dtype)
            self.files["paddle", dtype] = self.files["torch", dtype]  # both in torch's layout
            if not same:
                self.files["paddle", dtype] = self._write_weights("paddle", paddle, dtype)

    def _write_weights(self, name: str, weights: dict[str, np.ndarray], dtype: str) -> Path:
        file = self.folder / f"{name}-{dtype}.safetensors"
        cast = {key: a.astype(dtype) if a.dtype.kind == "f" else a for key, a in weights.items()}
        tensors.write(file, {key: tensors.from_array(array) for key, array in cast.items()})
        return file.resolve()

    def side(self, framework: str, settings: Settings, weights: str | None) -> Side:
        """Return a side with all its settings; `weights` is a dtype, or None for random ones."""
        usual = self.about[framework]["settings"]
        common = {name: exact(usual[name]) for name in ROUNDED if name in usual}
        common |= {name: getattr(self, name) for name in PASSED_ON}
        common |= {"dropout": DROPOUT, "steps_per_epoch": -(-self.images // self.batch_size)}
        common["data_path"] = self.data_path and str(self.data_path)
        if weights:
            common["weights"] = str(self.files[framework, weights])
        side = self.sides[framework]
        return replace(side, settings=side.settings | common | settings)

    def ask(self, request: Request) -> Reports:
        """Have both sides record, if they have changed; return it. Raises a side's UserError."""
        self.requests += 1
        part, folder = request.part, self.folder / f"{self.requests}-{request.part}"
        sides, requests, keys, folders = [], [], {}, {}
        for name in FRAMEWORKS:
            side = self.side(name, request.settings, request.weights)
            recording = dict(request.recording)
            if request.full:
                recording["plan"] = recording["plan"] | {"full": request.full[name]}
            if part == "optimizer":
                numbers = {pair[name == "paddle"]: n for n, pair in enumerate(self.pairs())}
                recording["numbers"] = numbers
            keys[name] = None if request.full else self.records.key(side, part, recording)
            kept = keys[name] and self.records.find(keys[name])
            folders[name] = kept or folder / name
            if kept is None:
                sides.append(side)
                requests.append({part: recording})

        def keep(side: Side, folder: Path) -> None:
            if key := keys[side.framework]:
                self.records.keep(key, folder)

        if sides:
            ask_both(sides, folder, requests, keep)
        reports = {}
        for name, folder in folders.items():
            report = json.loads((folder / f"{part}.json").read_text())
            reports[name] = report | {"folder": str(folder)}
        return reports

    def shared_batches(self, steps: int, settings: Settings) -> dict[str, str] | None:
        """Return the first batches that PyTorch's side reads, for both to train on.

        None where PaddlePaddle's reads other ones. Both sides' images differ by one rounding of
        float32, which a hundred steps would make a thousand times as large.
        """
        reports = self.ask(Request("first_batches", settings, None, {"steps": steps}))
        rows = [reports[side]["rows"] for side in FRAMEWORKS]
        differ = any(batches_differ(*pair) for pair in zip(*rows, strict=False))
        if differ or len(rows[0]) != len(rows[1]):
            return None
        folder = self.folder / f"{self.requests}-shared"
        folder.mkdir()
        for file in Path(reports["torch"]["folder"]).glob("*-*.npy"):
            shutil.copyfile(file, folder / file.name)
        return {"folder": str(folder.resolve()), "steps": str(len(rows[0]))}

    def batches(self, steps: int) -> dict[str, str]:
        """Write drawn images [N, 3, S, S] and labels [N] of each step; return their folder."""
        generator = np.random.Generator(np.random.Philox(self.seed))
        shape = [steps, self.batch_size, 3, self.image_size, self.image_size]
        images = generator.standard_normal(shape, dtype=np.float32)
        labels = generator.integers(0, CLASSES, shape[:2])
        folder = self.folder.resolve() / f"batches-{steps}"
        folder.mkdir(exist_ok=True)
        for step in range(steps):
            np.save(folder / f"images-{step}.npy", images[step])
            np.save(folder / f"labels-{step}.npy", labels[step])
        return {"folder": str(folder), "steps": str(steps)}

    def pairs(self) -> list[tuple[str, str]]:
        """Return the tensors that are partners, torch's name first, in the order of the file."""
        return list(self.match.keys.items())


@dataclass(frozen=True)
class Evidence:
    """What a difference between two trainings is diagnosed from."""

    pair: TrainingPair
    request: Request
    reports: Reports
    difference: Difference
    name_layer: Callable[[TrainingPair], Cause | None]  # at which the forward passes differ

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters that are partners."""
        return parameter_pairs(self.pair.pairs(), self.reports)

    def again(self, steps: int, full: dict[str, dict]) -> Reports:
        """Record so many steps again, with tensors in full, by side."""
        plan = self.request.recording["plan"] | {"steps": steps}
        recording = self.request.recording | {"plan": plan}
        return self.pair.ask(replace(self.request, recording=recording, full=full))


def exact(number: float) -> float:
    """Return a number rounded to float32, which both sides can hold.

    Paddle keeps momentum, decay and rate as float32 even where it trains in float64: 0.9 is 3e-8
    less, which moves the loss by 1e-5 after a hundred steps.
    """
    return float(np.float32(number))
