"""The comparison of two networks' forward passes: weights, runs, rows and verdict."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from common.errors import UserError
from common.folder import PICTURES
from common.pictures import read_rgb
from tools import (
    kinds,
    layer_faults,
    layerwise,
    matching,
    setting_faults,
    tensors,
    weight_faults,
)
from tools.findings import Cause, Given
from tools.forward_weights import count_same, fit_classes, give_weights, native, read_files
from tools.layerwise import Row
from tools.matching import Network
from tools.probes import FRAMEWORKS, NAMES, Side, ask_both

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB, for values of 0 to 1
DTYPES = ("float64", "float32")
SIZES = (224, 190)  # pixels; at 190 no stride of AlexNet's convolution or pools comes out even
TRAINING = "training mode"
GROWN = 1e-3  # small differences of single layers have not been seen to add up to more
PAPERS_DROPOUT = ["--dropout", "0.5"]  # of this repository's AlexNet, whatever a recipe says


@dataclass(frozen=True)
class Inputs:
    """What both networks are given."""

    shape: list[int] | None  # none: pictures [N, 3, S, S] of `sizes`
    dtype: str
    batch_size: int
    sizes: tuple[int, ...]  # pixels
    images: Path | None
    seed: int

    def arrays(self) -> dict[str, np.ndarray]:
        """Return one array for each size. Raises UserError where --images holds no picture."""
        if self.shape:
            return {"x".join(map(str, self.shape)): self._drawn(self.shape)}
        sizes = dict.fromkeys(size for size in self.sizes if size)
        make = self._read if self.images else self._draw_pictures
        return {f"{size} pixels": make(size) for size in sizes}

    def _draw_pictures(self, size: int) -> np.ndarray:
        return self._drawn([self.batch_size, 3, size, size])

    def _drawn(self, shape: list[int]) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(self.seed))
        if self.dtype == "int64":
            return generator.integers(0, 10, shape)
        return generator.standard_normal(shape).astype(np.float32)

    def _read(self, size: int) -> np.ndarray:
        if not self.images.is_dir():
            raise UserError(f"--images {self.images}: there is no such folder")
        found = (path for path in self.images.rglob("*") if path.suffix.lower() in PICTURES)
        paths = sorted(found)[: self.batch_size]
        if not paths:
            raise UserError(f"--images {self.images}: holds no picture ({' '.join(PICTURES)})")
        pictures = [
            np.asarray(ImageOps.fit(read_rgb(path), (size, size), Image.Resampling.BILINEAR))
            for path in paths
        ]
        pixels = np.stack(pictures).astype(np.float32) / 255  # [N, S, S, 3]
        return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2).copy()


@dataclass
class Result:
    """What compare_forward.py prints, writes as JSON and draws."""

    aligned: bool = True
    causes: list[Cause] = field(default_factory=list)
    first: Row | None = None  # the first layer that differs
    first_input: str | None = None
    rows: dict[str, list[Row]] = field(default_factory=dict)  # by input, such as "224 pixels"
    notes: list[str] = field(default_factory=list)
    logits: dict[str, list[float]] = field(default_factory=dict)  # the first five of each side
    top5: dict[str, list[int]] = field(default_factory=dict)
    weights: str = ""
    tensors: int = 0  # of the state dicts, pairs whose every bit is the same
    parameters: int = 0  # numbers in them
    how: str = ""  # in which way layers were paired
    versions: dict[str, str] = field(default_factory=dict)


def compare(
    sides: dict[str, Side],
    folder: Path,
    inputs: Inputs,
    weights: Path | None = None,
    own_weights: dict[str, Path] | None = None,
    given_pairs: dict[str, str] | None = None,
) -> Result:
    """Compare two networks' forward passes; `folder` is for temporary files.

    Raises UserError where the question itself is wrong: no such file, no such network, an input
    that neither network takes.
    """
    arrays = inputs.arrays()
    files = read_files(sides, folder / "read", weights, own_weights)
    sides = {
        name: replace(side, options=[*side.options, *PAPERS_DROPOUT])
        for name, side in sides.items()
    }
    sides = fit_classes(sides, files)
    networks = describe(sides, folder / "describe", next(iter(arrays.values())), inputs.dtype)
    match = matching.match(networks["torch"], networks["paddle"], given_pairs)
    result = Result(how=match.how)

    weighed = give_weights(files, weights, networks, match, inputs.seed)
    held, result.weights = weighed.held, weighed.told
    result.causes += weighed.causes
    result.notes += weighed.notes
    result.causes += weight_faults.unmatched(match, networks)
    result.tensors, result.parameters = count_same(held, match, networks)

    passes = save_inputs(folder, arrays)
    by_tree = own_weights is None  # a pair of files as they are is loaded by name: what fits
    request = {"passes": passes, "seed": inputs.seed}
    given = Given(sides, networks, match)
    given = run(given, folder / "run", held, dict.fromkeys(FRAMEWORKS, request), by_tree)
    result.versions = {NAMES[side]: given.reports[side]["version"] for side in FRAMEWORKS}
    if by_tree:
        own = {side: native(networks[side], weights) for side, weights in held.items()}
        result.causes += weight_faults.loading(given, own)
    if any(report["load_error"] for report in given.reports.values()):
        return conclude(result)

    for name in [*arrays, TRAINING]:
        judge_input(given, name, result, must_run=name == next(iter(arrays)))
    show_logits(given, next(iter(arrays)), result)
    find_causes(given, folder, held, passes, inputs.seed, by_tree, result)
    result.notes += setting_faults.silent(given, result.causes)
    result.notes += coarse_constants(result)
    return conclude(result)


def find_causes(
    given: Given,
    folder: Path,
    held: dict[str, dict[str, np.ndarray]],
    passes: list[dict[str, Any]],
    seed: int,
    by_tree: bool,
    result: Result,
) -> None:
    """Look for the causes in the first input that differs, each layer judged on PyTorch's numbers.

    Where every layer is the same on the same numbers, and some differ by what a constant in float32
    explains, these have added up, and that is no fault.
    """
    for number, (name, rows) in enumerate(result.rows.items()):
        first = next((row for row in rows if row.verdict == "differs"), None)
        if first is None:
            continue
        again = next(one for one in passes if one["name"] == _pass(name, "float64"))
        forced = run_forced(given, folder / f"forced-{number}", held, again, seed, by_tree)
        search = layer_faults.Search(forced, again, result.causes, held)
        causes = search.causes()
        if not causes and not result.causes and search.constants and _is_small(rows):
            result.notes.append(
                f"{name}: differences of constants that one framework keeps in float32 "
                f"({', '.join(search.constants[:3])}) add up to {_largest(rows):.1e}; on the same "
                "numbers every layer is the same"
            )
            for row in rows:
                row.verdict = "same" if row.verdict == "differs" else row.verdict
            continue
        result.first, result.first_input = first, name
        result.causes += causes or ([] if result.causes else [layer_faults.unexplained(first)])
        return


def _largest(rows: list[Row]) -> float:
    return max(row.float64.relative for row in rows if row.verdict == "differs")


def _is_small(rows: list[Row]) -> bool:
    """Say whether differences may be small ones that have grown on the way through the layers."""
    return _largest(rows) < GROWN and not any(
        row.float32.problem or layerwise.is_coarse(row) for row in rows if row.verdict == "differs"
    )


def coarse_constants(result: Result) -> list[str]:
    """Say where float64 differs by more than its rounding, though by no more than is no fault."""
    for name, rows in result.rows.items():
        for row in rows:
            if row.verdict == "same" and row.expected < row.float64.relative <= row.tolerance:
                return [
                    f"from {row.name} on ({name}) float64 differs by more than its rounding, "
                    f"{row.float64.relative:.1e}: a constant that one framework keeps in float32 "
                    "explains as much"
                ]
    return []


def conclude(result: Result) -> Result:
    """Say whether all is the same."""
    result.aligned = not result.causes and result.first is None
    return result


def describe(
    sides: dict[str, Side], folder: Path, example: np.ndarray, dtype: str
) -> dict[str, Network]:
    """Return both networks: their keys, layers, and the order in which they run."""
    request = {"input_shape": list(example.shape), "dtype": dtype}
    asked = [sides[framework] for framework in FRAMEWORKS]
    reports = ask_both(asked, folder, [{"describe": request}] * len(asked))
    return {
        side.framework: Network.from_report(side.framework, report["describe"])
        for side, report in zip(asked, reports, strict=True)
    }


def save_inputs(folder: Path, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Write the inputs; return the passes to run: every input in evaluation mode, one in training.

    Training comes last, since it moves the running statistics of normalization layers.
    """
    passes = []
    for number, (name, array) in enumerate(arrays.items()):
        np.save(folder / f"input-{number}.npy", array)
        passes += [_one_pass(folder, number, name, dtype, False) for dtype in DTYPES]
    return passes + [_one_pass(folder, 0, TRAINING, dtype, True) for dtype in DTYPES]


def _one_pass(folder: Path, number: int, name: str, dtype: str, training: bool) -> dict[str, Any]:
    file = str((folder / f"input-{number}.npy").resolve())
    return {"name": _pass(name, dtype), "input": file, "dtype": dtype, "training": training}


def _pass(name: str, dtype: str) -> str:
    return f"{name} {dtype}".replace(" ", "-")


def run(
    given: Given,
    folder: Path,
    held: dict[str, dict[str, np.ndarray]],
    requests: dict[str, dict[str, Any]],
    by_tree: bool,
) -> Given:
    """Run forward passes on the sides that `requests` names, at the same time."""
    asked = []
    folder.mkdir()
    for framework, request in requests.items():
        tree_loads = by_tree and not (given.sides[framework].model or {}).get("name")
        weights = held[framework]
        weights = weights if tree_loads else native(given.networks[framework], weights)
        file = folder / f"{framework}.safetensors"
        tensors.write(
            file,
            {
                name: tensors.from_array(np.asarray(array, order="C"))
                for name, array in weights.items()
            },
        )
        own = {"weights": str(file.resolve()), "by_tree": tree_loads}
        asked.append({"forward": {**own, **request}})
    reports = ask_both([given.sides[name] for name in requests], folder, asked)
    found = {name: report["forward"] for name, report in zip(requests, reports, strict=True)}
    places = {name: folder / name for name in requests}
    return replace(given, reports=given.reports | found, folders=given.folders | places)


def run_forced(
    given: Given,
    folder: Path,
    held: dict[str, dict[str, np.ndarray]],
    one: dict[str, Any],
    seed: int,
    by_tree: bool,
) -> Given:
    """Run one pass again, the Paddle side with each layer's output replaced by PyTorch's.

    So every layer of PaddlePaddle, and all that happens between two layers, works on the numbers
    that PyTorch has there, and is judged by itself.
    """
    pairs = given.pairs(one["name"])
    folder.mkdir()
    request = {"passes": [{**one, "with_inputs": True}], "seed": seed}
    first = run(given, folder / "torch", held, {"torch": request}, by_tree)
    calls = [given.run("paddle", one["name"])["calls"], first.run("torch", one["name"])["calls"]]
    forced = {
        str(j): _forced_files(given, first, calls[0][j], calls[1][i])
        for i, j in pairs
        if i is not None and j is not None and i < len(calls[1])
    }
    request = {"passes": [{**one, "with_inputs": True, "forced": forced}], "seed": seed}
    return run(first, folder / "paddle", held, {"paddle": request}, by_tree)


def _forced_files(given: Given, again: Given, paddle: dict, torch: dict) -> list[str]:
    """Return files with PyTorch's outputs, for layers without axes in Paddle's shape."""
    files = [(again.folders["torch"] / file).resolve() for file in torch["outputs"]]
    if kinds.canonical_kind("torch", torch["kind"]) in layerwise.PLAIN:
        for file, own in zip(files, paddle["outputs"], strict=False):
            shape = np.load(given.folders["paddle"] / own, mmap_mode="r").shape
            array = np.load(file)
            if array.shape != shape and array.size == np.prod(shape):
                np.save(file.with_suffix(".shaped.npy"), array.reshape(shape))
    shaped = [file.with_suffix(".shaped.npy") for file in files]
    return [str(s if s.exists() else file) for s, file in zip(shaped, files, strict=True)]


def judge_input(given: Given, name: str, result: Result, must_run: bool) -> None:
    """Compare the layers of one input.

    Raises UserError where neither network takes an input that it must take.
    """
    runs = {
        side: {dtype: given.run(side, _pass(name, dtype)) for dtype in DTYPES}
        for side in FRAMEWORKS
    }
    errors = {side: runs[side]["float64"]["error"] for side in FRAMEWORKS}
    if all(errors.values()) or (name == TRAINING and any(errors.values())):
        said = "; ".join(f"{NAMES[side]}: {error}" for side, error in errors.items() if error)
        if must_run:
            raise UserError(
                f"neither network takes this input ({said}); give --input-shape or --image-size"
            )
        result.notes.append(f"not compared with {name}: {said}")
        return
    rows = layerwise.compare_runs(given.folders, runs, given.pairs(_pass(name, "float64")))
    _mark_stop(rows, errors)
    result.rows[name] = rows


def _mark_stop(rows: list[Row], errors: dict[str, str | None]) -> None:
    """Where one side stopped with an error: the layer that it did not come to differs."""
    for side, error in errors.items():
        if error is None:
            continue
        ran = [n for n, row in enumerate(rows) if row.verdict != "no counterpart"]
        place = ran[-1] + 1 if ran else 0
        problem = f"{NAMES[side]} stops with an error: {error}"
        stopped = layerwise.apart(problem)
        if place == len(rows):
            rows.append(Row("output", "output", "the network's output"))
        rows[place].float64 = rows[place].float32 = stopped
        rows[place].verdict = "differs"


def show_logits(given: Given, name: str, result: Result) -> None:
    """Keep the first five logits and the five likeliest classes of the first sample, in float32."""
    for side in FRAMEWORKS:
        outputs = given.run(side, _pass(name, "float32"))["outputs"]
        if not outputs:
            continue
        logits = np.load(given.folders[side] / outputs[0])
        if logits.ndim != 2:
            continue
        result.logits[side] = [float(value) for value in logits[0, :5]]
        result.top5[side] = np.argsort(-logits[0], kind="stable")[:5].tolist()
