"""Have both trees run their own training on the same weights and batches, and note it."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common import networks, sample, summaries
from common.errors import UserError
from common.recipes import RECIPES
from tools import forward, forward_weights, matching, records, tensors
from tools.matching import Match, Network
from tools.probes import FRAMEWORKS, Side, ask_both

CLASSES = 5
TRAIN_PICTURES = 4  # of each class: with BATCH pictures a batch, five steps an epoch
BATCH = 4
GAIN = 3**-0.5  # of drawn weights: that of PyTorch's own start, from which training is calm
IMAGE_SIZE = 64  # pixels
RECIPE = RECIPES["sample"]
OPTIONS = ["--workers", "0", "--device", "cpu", "--recipe", "sample", "--dropout", "0.5"]
SAME_PICTURES = 1e-5  # relative


@dataclass(frozen=True)
class Asked:
    """A request as it was made, to be made again."""

    part: str
    more: tuple[str, ...]  # options of train.py
    settings: dict[str, Any]


@dataclass
class Rehearsals:
    """Two trees, the weights that both start from, and small batches of drawn numbers."""

    sides: dict[str, Side]
    folder: Path  # for all that is written
    seed: int = 0
    weights: Path | None = None
    data_path: Path | None = None  # none: a few pictures, drawn here
    image_size: int = IMAGE_SIZE
    batch_size: int = BATCH
    model: str = "alexnet"  # of --model
    networks: dict[str, Network] = field(default_factory=dict)
    match: Match = field(default_factory=Match)
    files: dict[tuple[str, str], Path] = field(default_factory=dict)  # weights by side and dtype
    asked: int = 0

    def prepare(self) -> None:
        """Describe the networks, pair their layers, and write the weights for each side.

        Raises UserError where the networks cannot be described.
        """
        if self.data_path is None:
            self.data_path = draw_folder(self.folder / "pictures")
        classes = len(list((self.data_path / "train").iterdir()))
        sides = {}
        for name, side in self.sides.items():
            model = {"arguments": {"num_classes": classes}}
            options = ["--model", self.model, "--dropout", "0.5"]
            sides[name] = Side(name, side.tree, model, options)
        example = np.zeros([1, 3, self.image_size, self.image_size], np.float32)
        self.networks = forward.describe(sides, self.folder / "networks", example, "float32")
        self.match = matching.match(self.networks["torch"], self.networks["paddle"])
        read = forward_weights.read_files(sides, self.folder / "read", self.weights, None)
        held = forward_weights.give_weights(
            read, self.weights, self.networks, self.match, self.seed, GAIN
        ).held
        for dtype in ("float64", "float32"):  # the network is made in the dtype of its weights
            self.files["torch", dtype] = self._write_weights("torch", held["torch"], dtype)
            self.files["paddle", dtype] = self.files["torch", dtype]  # both in torch's layout
            if not _are_one(held["torch"], held["paddle"]):
                self.files["paddle", dtype] = self._write_weights("paddle", held["paddle"], dtype)

    def _write_weights(self, name: str, weights: dict[str, np.ndarray], dtype: str) -> Path:
        file = self.folder / f"{name}-{dtype}.safetensors"
        arrays = {
            key: tensors.from_array(np.asarray(_as(array, dtype), order="C"))
            for key, array in weights.items()
        }
        tensors.write(file, arrays)
        return file.resolve()

    @property
    def model_files(self) -> tuple[str, ...]:
        """The file of a tree that holds the network."""
        return (networks.FILES[self.model],)

    def options(self, framework: str, *more: str, weights: str | None) -> list[str]:
        """Return the options of train.py; `weights` is a dtype, or None for random ones."""
        found = [*OPTIONS, "--data-path", str(self.data_path), "--seed", str(self.seed)]
        found += ["--image-size", str(self.image_size), "--batch-size", str(self.batch_size)]
        found += ["--model", self.model]
        for name in ("lr", "momentum", "weight_decay"):
            found += [f"--{name.replace('_', '-')}", exact(getattr(RECIPE, name))]
        found += ["--weights", str(self.files[framework, weights])] if weights else []
        return [*found, *more]

    def ask(
        self, part: str, *more: str, weights: str | None = "float64", **settings: Any
    ) -> dict[str, dict[str, Any]]:
        """Run a part of rehearsal.py on both sides at the same time; return the reports.

        Raises UserError with the words of the side that fails.
        """
        self.asked += 1
        folder = self.folder / f"{self.asked}-{part}"
        full = settings.pop("full", {})  # by side: their names may differ
        requests, keys, found = {}, {}, {}
        for name in FRAMEWORKS:
            own = {"options": self.options(name, *more, weights=weights), **settings}
            if part == "optimizer":
                own["numbers"] = {pair[name == "paddle"]: n for n, pair in enumerate(self.pairs())}
            if full:
                own["full"] = full[name]
            else:  # a side that has not changed is not run again
                keys[name] = records.key(self.sides[name], part, own)
                kept = records.find(keys[name])
                if kept is not None:
                    found[name] = json.loads((kept / f"{part}.json").read_text())
                    found[name]["folder"] = str(kept)
                    continue
            requests[name] = {part: own}

        def keep(side: Side, own: Path) -> None:
            if side.framework in keys:
                records.keep(keys[side.framework], own)

        if requests:
            asked = [self.sides[name] for name in requests]
            reports = ask_both(asked, folder, list(requests.values()), keep)
            for name, report in zip(requests, reports, strict=True):
                found[name] = {**report[part], "folder": str(folder / name)}
        return {name: found[name] for name in FRAMEWORKS}

    def shared_batches(self, steps: int, *more: str) -> dict[str, str] | None:
        """Return the first batches that PyTorch's tree reads, for both to train on.

        None where PaddlePaddle's reads other ones. Both normalize pictures alike, but within one
        rounding of float32, which a hundred steps would make a thousand times as large.
        """
        reports = self.ask("read_batches", *more, weights=None, steps=steps)
        rows = [reports[side]["rows"] for side in FRAMEWORKS]
        if any(batches_differ(*pair) for pair in zip(*rows, strict=False)):
            return None
        if len(rows[0]) != len(rows[1]):
            return None
        folder = self.folder / f"{self.asked}-shared"
        folder.mkdir()
        for file in Path(reports["torch"]["folder"]).glob("*-*.npy"):
            shutil.copyfile(file, folder / file.name)
        return {"folder": str(folder.resolve()), "steps": str(len(rows[0]))}

    def batches(self, steps: int) -> dict[str, str]:
        """Write `steps` batches of drawn numbers, images [steps, N, 3, S, S] and labels [steps, N].

        Returns the files' names.
        """
        generator = np.random.Generator(np.random.Philox(self.seed))
        shape = [steps, self.batch_size, 3, self.image_size, self.image_size]
        images = generator.standard_normal(shape, dtype=np.float32)
        labels = generator.integers(0, CLASSES, shape[:2])
        files = {}
        for name, array in (("images", images), ("labels", labels)):
            files[name] = str((self.folder / f"{name}-{steps}.npy").resolve())
            np.save(files[name], array)
        return files

    def again(self, asked: "Asked", steps: int, full: dict[str, dict[str, list[str]]]) -> dict:
        """Ask once more, for `steps` steps, with the tensors that `full` names written out."""
        return self.ask(asked.part, *asked.more, full=full, **{**asked.settings, "steps": steps})

    def parameter_pairs(self, reports: dict[str, dict]) -> list[tuple[str, str]]:
        """Return partners among the parameters of two reports, in the order of the network."""
        shapes = {side: report["shapes"] for side, report in reports.items()}
        return [
            (torch, paddle)
            for torch, paddle in self.pairs()
            if torch in shapes["torch"] and paddle in shapes["paddle"]
        ]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield the parameters of both sides that are partners, torch's name first, in the order of
        the file."""
        parameters = {name: set(network.keys) for name, network in self.networks.items()}
        for torch, paddle in self.match.keys.items():
            if torch in parameters["torch"] and paddle in parameters["paddle"]:
                yield torch, paddle


def batches_differ(torch: dict[str, Any], paddle: dict[str, Any]) -> bool:
    """Say whether two batches hold other labels, or other pictures than float32 rounds them to."""
    if torch["labels"] != paddle["labels"]:
        return True
    left, right = np.array(torch["images"]), np.array(paddle["images"])
    return bool(left.any()) and summaries.relative(left, right, 1) > SAME_PICTURES


def exact(value: float) -> str:
    """Return a number as an option, rounded to float32.

    Paddle keeps momentum, decay and rate as float32 numbers even where it trains in float64. Of
    0.9 that is 3e-8 less, which after a hundred steps moves the loss by 1e-5. A number that both
    can hold leaves no such difference, and every one that is left is a fault.
    """
    return repr(float(np.float32(value)))


def _are_one(torch: dict[str, np.ndarray], paddle: dict[str, np.ndarray]) -> bool:
    """Say whether both sides hold the very same arrays under the same names."""
    return torch.keys() == paddle.keys() and all(torch[key] is paddle[key] for key in torch)


def _as(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == "f" else array


def draw_folder(path: Path) -> Path:
    """Write a small image folder: CLASSES classes, real JPEG files.

    The pictures of val are an odd number, which two processes cannot share out.
    """
    for split, count in (("train", TRAIN_PICTURES), ("val", 2)):
        for place, name in enumerate(sample.CLASSES[:CLASSES]):
            folder = path / split / name
            folder.mkdir(parents=True)
            for number in range(count + (split == "val" and place == 0)):
                picture = Image.fromarray(sample.draw_picture(0, split, name, number))
                picture.resize((96, 80)).save(folder / f"{number}.jpg", quality=90)
    return path.resolve()


def load(report: dict[str, Any], file: str) -> np.ndarray:
    """Return an array that a side wrote."""
    try:
        return np.load(Path(report["folder"]) / file)
    except OSError as error:
        raise UserError(f"{file} was not written by the probe ({error.strerror})") from error
