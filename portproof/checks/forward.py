"""The comparison of two networks' forward passes: weights, runs, rows and verdict."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from portproof.core import tensor_compare
from portproof.core.comparison import Comparison, describe
from portproof.core.findings import Cause, Difference
from portproof.core.forward_pair import TRAINING, pass_name, run, run_forced, save_inputs
from portproof.core.inputs import Inputs
from portproof.core.tensor_compare import DTYPES, Row
from portproof.core.training_pair import TrainingPair
from portproof.core.weight_files import read_named
from portproof.diagnose import layers, settings
from portproof.diagnose import weights as weight_faults
from portproof.networks import matching
from portproof.system.errors import UserError
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.weights.initial import count_same, give_weights
from portproof.weights.tensors import WeightsFile
from portproof.worker.client import Sides

SIZES = (224, 190)  # pixels; at 190 strides come out uneven that come out even at 224
GROWN = 1e-3  # small differences of single layers have not been seen to add up to more


@dataclass
class Result:
    """What the comparison prints, writes as JSON and draws."""

    aligned: bool = True
    causes: list[Cause] = field(default_factory=list)
    first: Row | None = None  # the first layer that differs
    first_input: str | None = None
    rows: dict[str, list[Row]] = field(default_factory=dict)  # by input, such as "224 pixels"
    notes: list[str] = field(default_factory=list)
    logits: dict[str, list[float]] = field(default_factory=dict)  # the first five of each side
    top5: dict[str, list[int]] = field(default_factory=dict)
    weights: str = ""
    same_tensors: int = 0  # of the state dicts, pairs whose every bit is the same
    same_parameters: int = 0  # numbers in them
    paired: str = ""  # in which way layers were
    versions: dict[str, str] = field(default_factory=dict)


def compare(
    sides: Sides,
    folder: Path,
    inputs: Inputs,
    weights: Path | None = None,
    own_weights: dict[str, Path] | None = None,
    pairs: dict[str, str] | None = None,
) -> Result:
    """Compare two networks' forward passes; `folder` is for temporary files.

    `weights` are for both, `own_weights` of each; `pairs` are layers that are partners whatever
    their names. Raises UserError for a wrong file or network, or an input that neither takes.
    """
    arrays = inputs.arrays()
    first, array = next(iter(arrays.items()))
    files = read_named(sides, folder / "read", weights, own_weights)
    sides = fit(sides, files)
    networks = describe(sides, folder / "describe", list(array.shape), inputs.dtype)
    match = matching.match(networks["torch"], networks["paddle"], pairs)
    start = give_weights(files, networks, match, inputs.seed)
    by_port = own_weights is None  # a pair of files as they are is loaded by name: what fits
    comparison = Comparison(sides, networks, match, start.held, by_port, inputs.seed)
    result = Result(paired=match.how, weights=start.source, notes=start.notes)
    if own_weights is not None:
        for side, file in files.items():
            result.causes += weight_faults.file_misfits(file, networks[side])
        result.causes += weight_faults.unequal(comparison)
    result.causes += weight_faults.unmatched(match, networks)
    result.same_tensors, result.same_parameters = count_same(start.held, match)

    passes = save_inputs(folder, arrays)
    comparison = run(comparison, folder / "run", dict.fromkeys(FRAMEWORKS, passes))
    reports = comparison.reports
    result.versions = {NAMES[side]: reports[side]["version"] for side in FRAMEWORKS}
    if comparison.by_port:
        result.causes += weight_faults.loading(comparison)
    if not any(report["load_error"] for report in reports.values()):
        for name in [*arrays, TRAINING]:
            judge_input(comparison, name, result, must_run=name == first)
        show_logits(comparison, first, result)
        find_causes(comparison, folder, passes, result)
        result.notes += settings.silent(comparison, result.causes)
        result.notes += coarse_constants(result)
    result.aligned = not result.causes and result.first is None
    return result


def fit(sides: Sides, files: dict[str, WeightsFile]) -> Sides:
    """Have the ports make networks that fit the first file, unless told the classes."""
    if not files:
        return sides
    setting = {"fitted_to": str(next(iter(files.values())).staged.resolve())}
    return {name: replace(side, settings=side.settings | setting) for name, side in sides.items()}


def find_causes(comparison: Comparison, folder: Path, passes: list[dict], result: Result) -> None:
    """Look for the causes in the first input that differs, each layer judged on PyTorch's numbers.

    Where every layer is the same on the same numbers, and some differ by what a constant in float32
    explains, these have added up, and that is no fault.
    """
    for number, (name, rows) in enumerate(result.rows.items()):
        differ = [row for row in rows if row.verdict == "differs"]
        if not differ:
            continue
        wanted = pass_name(name, "float64")
        again = next(one_pass for one_pass in passes if one_pass["name"] == wanted)
        forced = run_forced(comparison, folder / f"forced-{number}", again)
        search = layers.Search(forced, again, result.causes)
        result.causes += search.causes()
        largest = max(row.float64.relative for row in differ)
        odd = any(row.float32.problem or tensor_compare.is_coarse(row) for row in differ)
        if result.causes or not search.constants or odd or largest >= GROWN:
            result.first, result.first_input = differ[0], name
            result.causes = result.causes or [layers.unexplained(differ[0])]
            return
        note = f"{name}: differences of constants that one framework keeps in float32 "
        note += f"({', '.join(search.constants[:3])}) add up to {largest:.1e}; on the same "
        result.notes.append(f"{note}numbers every layer is the same")
        for row in differ:
            row.verdict = "same"


def coarse_constants(result: Result) -> list[str]:
    """Say where float64 differs by more than its rounding, though by no more than is no fault."""
    every = [(name, row) for name, rows in result.rows.items() for row in rows]
    for name, row in every:
        if row.verdict == "same" and row.expected < row.float64.relative <= row.tolerance:
            note = f"from {row.name} on ({name}) float64 differs by more than its rounding, "
            note += f"{row.float64.relative:.1e}: a constant that one framework keeps in float32 "
            return [f"{note}explains as much"]
    return []


def judge_input(comparison: Comparison, name: str, result: Result, must_run: bool) -> None:
    """Compare the layers of one input; UserError where neither network takes one that it must."""
    passes = {dtype: pass_name(name, dtype) for dtype in DTYPES}
    runs, errors = {}, {}
    for side in FRAMEWORKS:
        runs[side] = {dtype: comparison.run(side, passes[dtype]) for dtype in DTYPES}
        errors[side] = runs[side]["float64"]["error"]
    if all(errors.values()) or (name == TRAINING and any(errors.values())):
        words = "; ".join(f"{NAMES[side]}: {error}" for side, error in errors.items() if error)
        if must_run:
            advice = "give --input-shape or --image-size"
            raise UserError(f"neither network takes this input ({words}); {advice}")
        result.notes.append(f"not compared with {name}: {words}")
        return
    pairs = comparison.pairs(passes["float64"])
    result.rows[name] = tensor_compare.compare_runs(comparison.folders, runs, pairs)
    _mark_stop(result.rows[name], errors)


def _mark_stop(rows: list[Row], errors: dict[str, str | None]) -> None:
    """Where one side stopped with an error: the layer that it did not come to differs."""
    for side in (side for side, error in errors.items() if error is not None):
        ran = [n for n, row in enumerate(rows, 1) if row.verdict != "no counterpart"]
        after = max(ran, default=0)
        if after == len(rows):
            rows.append(Row("output", "output", "the network's output"))
        stop = Difference(problem=f"{NAMES[side]} stops with an error: {errors[side]}")
        rows[after].float64 = rows[after].float32 = stop
        rows[after].verdict = "differs"


def show_logits(comparison: Comparison, name: str, result: Result) -> None:
    """Keep the first five logits and the five likeliest classes of the first sample, in float32."""
    for side in FRAMEWORKS:
        for file in comparison.run(side, pass_name(name, "float32"))["outputs"][:1]:
            logits = np.load(comparison.folders[side] / file)
            if logits.ndim == 2:
                result.logits[side] = logits[0, :5].tolist()
                result.top5[side] = np.argsort(-logits[0], kind="stable")[:5].tolist()


def name_layer(pair: TrainingPair) -> Cause | None:
    """Return the cause of the first difference of two networks by themselves, if there is one."""
    inputs = Inputs(None, "float32", 2, (pair.image_size, 0), None, pair.seed)
    folder = pair.folder / f"forward-{pair.requests}"
    folder.mkdir()
    return next(iter(compare(pair.sides, folder, inputs, weights=pair.weights).causes), None)
