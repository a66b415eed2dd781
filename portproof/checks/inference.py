"""The checkpoint inference: does an exported model say what the live one says?"""

import numpy as np

from portproof.core.findings import at
from portproof.core.step_compare import load
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import DIVERGED, NOT_RUN, Verdict
from portproof.diagnose import source_lines
from portproof.numeric.exported import TOLERANCE, relative_difference
from portproof.system.frameworks import FRAMEWORKS, NAMES

BATCHES = (3, 1, 8)  # the first is the one that is looked at first
# What an error says that is no fault of the port: a package that is missing, or an operation that
# a port's export cannot write. The other formats are compared all the same.
ABSENT, UNKNOWN = "not installed", "does not know"
# What to change, and patterns of the line.
EXPORT = "export|to_static|save"
EVALUATION = ("call model.eval() before the export", r"\.train\(|\.eval\(", "export")
FREE_BATCH = ("leave the batch free (dynamic shape)", r"shape|Dim\(|InputSpec|zeros\(")


def check_inference(pair: TrainingPair) -> Verdict:
    """Compare, on each side by itself, the exported models with the live one, in float32."""
    size = pair.image_size
    generator = np.random.Generator(np.random.Philox(pair.seed))
    images = pair.folder / "inference.npy"
    np.save(images, generator.standard_normal([max(BATCHES), 3, size, size], dtype=np.float32))
    recording = {"images": str(images.resolve()), "batches": list(BATCHES)}
    for traced in (False, True):  # again, where a line is to be named
        request = Request("inference", {}, "float32", recording | {"traced": traced})
        verdict = judge(pair, pair.ask(request))
        if verdict.verdict != DIVERGED:
            break
    return verdict


def judge(pair: TrainingPair, reports: dict[str, dict]) -> Verdict:
    """Return the verdict on what both sides recorded of their exports."""
    verdict = Verdict("inference", float32=0.0)
    table = [["format", *(f"batch {batch}" for batch in BATCHES)]]
    for side in FRAMEWORKS:
        for row in reports[side]["formats"]:
            cells = _check_format(verdict, pair, side, reports[side], row)
            table.append([f"{NAMES[side]}, {row['format']}", *cells])
    verdict.details.append({"title": "Largest difference over the largest logit", "table": table})
    if all(cell in (ABSENT, UNKNOWN) for row in table[1:] for cell in row[1:]):
        verdict.verdict = NOT_RUN
    return verdict


def _check_format(
    verdict: Verdict, pair: TrainingPair, side: str, report: dict, row: dict
) -> list[str]:
    """Compare one exported model; return a cell for each batch."""
    where = f"{NAMES[side]}, {row['format']}"
    folder = f"{report['folder']}/"  # of no use to anybody in a message
    error = (row["error"] or "").replace(folder, "")

    def line(what: str, *patterns: str) -> str:
        return at(source_lines.find_line(pair.sides[side], patterns, row["called"]), what)

    lacking = next((words for words in (ABSENT, UNKNOWN) if words in error), None)
    if lacking and "dropout" not in error:  # which tells of train mode
        verdict.why = f"{where} is not compared: {error}"
        return [lacking] * len(BATCHES)
    if error:
        cause = f"the network cannot be exported: {error}"
        fix = line("export the network for any batch", EXPORT)
        if "dropout" in error:
            cause += "; dropout is active: exported in train mode"
            fix = line(*EVALUATION)
        verdict.diverge(where, cause, fix)
        return ["error"] * len(BATCHES)
    cells = []
    for batch in BATCHES:
        error = row["batches"][str(batch)]
        if error is not None:
            error = error.replace(folder, "")
            cause = f"it cannot run a batch of {batch}: {error}; the shape of its input is fixed"
            verdict.diverge(f"{where}, batch {batch}", cause, line(*FREE_BATCH))
            cells.append("error")
            continue
        live = load(report, f"live-{batch}.npy")
        first, second = load(report, f"{row['format']}-{batch}.npy")
        apart = relative_difference(live, first)
        verdict.float32 = max(verdict.float32, apart)
        cells.append(f"{apart:.1e}")
        if apart <= TOLERANCE:
            continue
        cause = f"the logits differ by {apart:.2g} of the largest"
        fix = line("compare what is exported with the network", EXPORT)
        if live.shape != first.shape:
            cause = f"the logits are {list(first.shape)}, the live network's {list(live.shape)}: "
            cause += "the shape is fixed"
            fix = line(*FREE_BATCH)
        elif not np.array_equal(first, second):
            cause += ", and are others at every run: exported in train mode, with dropout active"
            fix = line(*EVALUATION)
        verdict.diverge(f"{where}, batch {batch}", cause, fix)
    return cells
