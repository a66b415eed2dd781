"""The checkpoint init: do both sides draw their weights from the same distributions?"""

from pathlib import Path

import numpy as np

from portproof.core.findings import Cause
from portproof.core.training_pair import Request, TrainingPair
from portproof.core.verdict import Verdict
from portproof.diagnose.source_lines import located
from portproof.networks import layer_types
from portproof.system.frameworks import FRAMEWORKS

SEEDS = 3
VALUES = 20_000  # of each parameter and seed
CHANCE = 1e-6  # a test that so rarely fails by chance, divided by the number of parameters


def check_init(pair: TrainingPair) -> Verdict:
    """Compare the distributions of drawn weights, layer by layer, by a Kolmogorov-Smirnov test."""
    verdict = Verdict("init")
    drawn = {side: {} for side in FRAMEWORKS}
    for seed in range(SEEDS):
        reports = pair.ask(Request("init", {"seed": seed}, None, {"most": VALUES}))
        for side, report in reports.items():
            with np.load(Path(report["folder"]) / "init.npz") as arrays:
                for name in arrays.files:
                    drawn[side].setdefault(name, []).append(arrays[name])
    # A layer of another size shows in the forward pass, and its start follows from it.
    keys = pair.networks["torch"].keys.values()
    lone = [key for key in keys if key.key not in pair.match.keys]
    odd_layers = {key.layer for key in lone if key.role != layer_types.COUNTER}
    pairs = [names for names in pair.pairs() if names[0].rpartition(".")[0] not in odd_layers]
    pairs = [(t, p) for t, p in pairs if t in drawn["torch"] and p in drawn["paddle"]]
    rows = [["parameter", "PyTorch", "PaddlePaddle", "chance"]]
    for torch, paddle in pairs:
        left, right = np.concatenate(drawn["torch"][torch]), np.concatenate(drawn["paddle"][paddle])
        layer, start = torch.rpartition(".")[0], drawn["paddle"][paddle]
        chance = same_distribution(left, right)
        rows.append([torch, _describe(left), _describe(right), f"{chance:.2g}"])
        if chance < CHANCE / len(pairs):
            cause = f"{torch} is {_describe(left)} in PyTorch, {_describe(right)} in PaddlePaddle"
            fix = "draw weights and biases from the same distribution"
            lines = (r"Uniform|Normal|Constant|Kaiming|Xavier|init\.|initializer", r"init\w*\(")
            cause = Cause(layer, cause, fix, patterns=lines, event="network")
            verdict.blame(located(cause, pair, reports))
        elif np.ptp(right) > 0 and all(np.array_equal(start[0], other) for other in start[1:]):
            cause = f"{paddle} is the same at every seed in PaddlePaddle"
            fix = "seed the framework by the seed that is asked for"
            cause = Cause(layer, cause, fix, patterns=(r"seed\(",), event="layer")
            verdict.blame(located(cause, pair, reports))
    verdict.details.append({"title": f"{SEEDS} seeds", "table": rows})
    return verdict


def same_distribution(left: np.ndarray, right: np.ndarray) -> float:
    """Return how likely two samples of one distribution differ as much as these do."""
    from scipy import stats  # a second, for which no other checkpoint has to wait

    if np.ptp(left) == 0 or np.ptp(right) == 0:  # a constant
        return 1.0 if np.ptp(left) == np.ptp(right) == left[0] - right[0] == 0 else 0.0
    return float(stats.ks_2samp(left, right, method="asymp").pvalue)


def _describe(values: np.ndarray) -> str:
    if np.ptp(values) == 0:
        return f"{values[0]:.4g} everywhere"
    deviation, width = values.std(), np.ptp(values)
    shape = "uniform" if width < 3.6 * deviation else "normal or alike"
    return f"{shape}, mean {values.mean():.2g}, deviation {deviation:.4g}, within {width / 2:.4g}"
