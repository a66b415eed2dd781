"""The checkpoint inference: does an exported model say what the live one says?"""

import numpy as np

from portproof.core.findings import Cause
from portproof.core.step_compare import load
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import NOT_RUN, Verdict, with_lines
from portproof.diagnose.source_lines import with_line
from portproof.numeric.exported import TOLERANCE, relative_difference
from portproof.system.frameworks import NAMES
from portproof.worker.client import Side

BATCHES = (3, 1, 8)  # the first is the one that is looked at first
# An error that is no fault of the port: a package is missing, or an operation cannot be exported.
ABSENT, UNKNOWN = "not installed", "does not know"
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

    def check(traced: bool) -> Verdict:
        verdict = Verdict("inference", float32=0.0)
        table = [["format", *(f"batch {batch}" for batch in BATCHES)]]
        request = Request("inference", {}, "float32", recording | {"traced": traced})
        for side, report in pair.ask(request).items():
            for row in report["formats"]:
                cells = _check_format(verdict, pair.sides[side], report, row)
                table.append([f"{NAMES[side]}, {row['format']}", *cells])
        title = "Largest difference over the largest logit"
        verdict.details.append({"title": title, "table": table})
        if all(cell in (ABSENT, UNKNOWN) for row in table[1:] for cell in row[1:]):
            verdict.verdict = NOT_RUN
        return verdict

    return with_lines(check)


def _check_format(verdict: Verdict, side: Side, report: dict, row: dict) -> list[str]:
    """Compare one exported model; return a cell for each batch."""
    where = f"{NAMES[side.framework]}, {row['format']}"
    folder = f"{report['folder']}/"  # of no use to anybody in a message
    error = (row["error"] or "").replace(folder, "")

    def diverge(where: str, cause: str, fix: str, *patterns: str) -> None:
        cause = Cause(where, cause, fix, patterns=patterns)
        verdict.blame(with_line(cause, side, row["called"]))

    lacking = next((words for words in (ABSENT, UNKNOWN) if words in error), None)
    cause = f"the network cannot be exported: {error}"
    if "dropout" in error:  # which tells of train mode
        diverge(where, f"{cause}; dropout is active: exported in train mode", *EVALUATION)
    elif lacking:
        verdict.why = f"{where} is not compared: {error}"
        return [lacking] * len(BATCHES)
    elif error:
        diverge(where, cause, "export the network for any batch", EXPORT)
    if error:
        return ["error"] * len(BATCHES)
    cells = []
    for batch in BATCHES:
        where_batch = f"{where}, batch {batch}"
        error = row["batches"][str(batch)]
        if error is not None:
            cause = f"it cannot run a batch of {batch}: {error.replace(folder, '')}"
            diverge(where_batch, f"{cause}; the shape of its input is fixed", *FREE_BATCH)
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
        if live.shape != first.shape:
            cause = f"the logits are {list(first.shape)}, the live network's {list(live.shape)}"
            diverge(where_batch, f"{cause}: the shape is fixed", *FREE_BATCH)
        elif not np.array_equal(first, second):
            cause += ", and are others at every run: exported in train mode, with dropout active"
            diverge(where_batch, cause, *EVALUATION)
        else:
            diverge(where_batch, cause, "compare what is exported with the network", EXPORT)
    return cells
