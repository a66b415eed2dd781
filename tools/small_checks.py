"""The checkpoints that need no training step: init, metric, loss, lr."""

from pathlib import Path

import numpy as np
from scipy import stats

from tools import kinds, sources, update_faults
from tools.probes import FRAMEWORKS, NAMES
from tools.rehearsals import Rehearsals
from tools.verdicts import Verdict

SEEDS = 3
VALUES = 20_000  # of each parameter and seed
CHANCE = 1e-6  # a test that so rarely fails by chance, divided by the number of parameters
INIT = ("init_weights", "__init__")
MODELS, TRAIN = ("models/alexnet.py",), ("train.py",)
SMALL = 100_000  # elements of the parameters at which the learning rate is read off


# ---- init ----


def check_init(rehearsals: Rehearsals) -> Verdict:
    """Compare the distributions from which both trees draw their weights, over several seeds.

    Kolmogorov and Smirnov's test of two samples, layer by layer.
    """
    verdict = Verdict("init")
    drawn = {side: {} for side in FRAMEWORKS}
    for seed in range(SEEDS):
        reports = rehearsals.ask("init", "--seed", str(seed), weights=None, most=VALUES)
        for side in FRAMEWORKS:
            with np.load(Path(reports[side]["folder"]) / "init.npz") as arrays:
                for name in arrays.files:
                    drawn[side].setdefault(name, []).append(arrays[name])
    pairs = [(t, p) for t, p in rehearsals.pairs() if t in drawn["torch"] and p in drawn["paddle"]]
    whole = whole_layers(rehearsals)
    pairs = [(torch, paddle) for torch, paddle in pairs if torch.rpartition(".")[0] in whole]
    rows = [["parameter", "PyTorch", "PaddlePaddle", "chance"]]
    for torch, paddle in pairs:
        left, right = (
            np.concatenate(drawn[s][n]) for s, n in (("torch", torch), ("paddle", paddle))
        )
        chance = same_distribution(left, right)
        rows.append([torch, _describe(left), _describe(right), f"{chance:.2g}"])
        if chance < CHANCE / len(pairs):
            cause = f"{torch} is {_describe(left)} in PyTorch, {_describe(right)} in PaddlePaddle"
            what = "draw weights and biases from the same distribution"
            lines = r"Uniform|Normal|Constant|Kaiming|Xavier|init\.|initializer", "init_weights"
            fix = sources.fix(rehearsals.sides, what, *lines, within=INIT, files=MODELS)
            verdict.diverge(torch.rpartition(".")[0], cause, fix)
        elif np.ptp(right) > 0 and all(
            np.array_equal(drawn["paddle"][paddle][0], a) for a in drawn["paddle"][paddle][1:]
        ):
            cause = f"{paddle} is the same at every seed in PaddlePaddle"
            fix = sources.fix(
                rehearsals.sides, "seed the framework by --seed", r"seed\(", files=TRAIN
            )
            verdict.diverge(torch.rpartition(".")[0], cause, fix)
    verdict.details.append({"title": f"{SEEDS} seeds", "table": rows})
    return verdict


def whole_layers(rehearsals: Rehearsals) -> set[str]:
    """Return the layers of which every tensor has a partner of its shape.

    The others differ in size: that shows in the forward pass, and their start follows from it.
    """
    layers = rehearsals.networks["torch"].weighted()
    return {
        path
        for path, keys in layers.items()
        if all(key.key in rehearsals.match.keys or key.role == kinds.COUNTER for key in keys)
    }


def same_distribution(left: np.ndarray, right: np.ndarray) -> float:
    """Return how likely two samples of one distribution differ as much as these do."""
    if np.ptp(left) == 0 or np.ptp(right) == 0:  # a constant
        return 1.0 if np.ptp(left) == np.ptp(right) == left[0] - right[0] == 0 else 0.0
    return float(stats.ks_2samp(left, right, method="asymp").pvalue)


def _describe(values: np.ndarray) -> str:
    if np.ptp(values) == 0:
        return f"{values[0]:.4g} everywhere"
    deviation, width = values.std(), np.ptp(values)
    shape = "uniform" if width < 3.6 * deviation else "normal or alike"
    return f"{shape}, mean {values.mean():.2g}, deviation {deviation:.4g}, within {width / 2:.4g}"


# ---- loss ----


def loss_cases(folder: Path) -> list[str]:
    """Write logits and labels of several kinds; return the files.

    No two logits of a sample are more than 60 apart: Paddle's softmax cuts off what lies 64 below
    the largest.
    """
    generator = np.random.default_rng(0)
    files = []
    for number, (samples, classes, scale) in enumerate(
        [(8, 10, 1.0), (7, 5, 10.0), (1, 1000, 1.0), (4, 2, 0.0), (32, 10, 5.0)]
    ):
        logits = scale * generator.standard_normal([samples, classes])
        labels = generator.integers(0, classes, samples)
        files.append(str((folder / f"loss-{number}.npz").resolve()))
        np.savez(files[-1], logits=logits, labels=labels)
    return files


def check_loss(rehearsals: Rehearsals, *more: str, tolerance: float = 1e-9) -> Verdict:
    """Compare the loss and its gradient at given logits, in float64.

    `more` are options of train.py. Relative differences of up to `tolerance` are no fault.
    """
    verdict = Verdict("loss", float64=0.0)
    files = loss_cases(rehearsals.folder)
    reports = rehearsals.ask("loss", *more, weights=None, cases=files)
    for number, file in enumerate(files):
        with np.load(file) as case:
            logits, labels = case["logits"], case["labels"]
        own, theirs = (reports[side]["cases"][number] for side in FRAMEWORKS)
        for what in ("loss", "gradient"):
            left, right = np.array(own[what]), np.array(theirs[what])
            where = f"{what} of logits [{logits.shape[0]}, {logits.shape[1]}]"
            if left.shape != right.shape:
                shapes = f"{list(left.shape)} in PyTorch, {list(right.shape)} in PaddlePaddle"
                told = f"the {what} has the shape {shapes}: not reduced to one number"
                verdict.diverge(
                    where, told, fix_loss(rehearsals, 'take the mean: reduction="mean"')
                )
                return verdict
            apart = np.abs(left - right).max() / max(np.abs(left).max(), 1e-12)
            verdict.float64 = max(verdict.float64, float(apart))
            if not apart <= tolerance:
                names = {
                    side: name_loss(logits, labels, reports[side]["cases"][number]["loss"])
                    for side in FRAMEWORKS
                }
                told = "; ".join(f"{NAMES[side]}: {name}" for side, name in names.items())
                told = f"{left.max():.9g} against {right.max():.9g}; {told}"
                verdict.diverge(where, told, fix_loss(rehearsals, FIX_LOSS))
    return verdict


def fix_loss(rehearsals: Rehearsals, what: str) -> str:
    """Return what to change, with the line where the loss is made."""
    lines = r"CrossEntropy|cross_entropy|nll_loss|NLLLoss", r"criterion\s*="
    return sources.fix(rehearsals.sides, what, *lines, within=("main",), files=TRAIN)


FIX_LOSS = (
    "give CrossEntropyLoss the logits, once: reduction='mean', use_softmax=True, and "
    "neither label smoothing nor weights, unless both have them"
)


def name_loss(logits: np.ndarray, labels: np.ndarray, value: float) -> str:
    """Return which loss gives this value for logits [N, C] and labels [N], in words."""
    probabilities = softmax(logits)
    wide = np.full(probabilities.shape, 1 / logits.shape[1])
    rows = np.arange(len(labels))
    of = -np.log(np.maximum(probabilities, 1e-300))  # [N, C], cross entropy with each class
    twice = -np.log(softmax(probabilities))[rows, labels]
    each = of[rows, labels]
    known = {
        "cross entropy, mean over the batch": each.mean(),
        "cross entropy summed over the batch (reduction)": each.sum(),
        "cross entropy of a softmax: softmax twice": twice.mean(),
        "cross entropy of a softmax (softmax twice), summed": twice.sum(),
        "the logits taken for log-probabilities: no softmax": -logits[rows, labels].mean(),
        "the probability of the label, with no logarithm": -probabilities[rows, labels].mean(),
        "cross entropy in bits, not nats": each.mean() / np.log(2),
        "the mean over batch and classes": each.mean() / logits.shape[1],
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        known["the logits taken for probabilities: no softmax (use_softmax=False)"] = -np.log(
            np.maximum(logits[rows, labels], 1e-300)
        ).mean()
    for smoothing in (0.05, 0.1, 0.2, 0.3):
        mixed = (1 - smoothing) * each + smoothing * (of * wide).sum(1)
        known[f"cross entropy with label smoothing {smoothing:g}"] = mixed.mean()
    value = float(np.asarray(value).reshape(-1)[0])
    if np.isnan(value):
        return "NaN, as a logarithm of the logits gives: no softmax (use_softmax=False)"
    for name, candidate in known.items():
        if abs(candidate - value) <= 1e-7 * max(abs(value), 1e-9):
            return name
    factor = value / each.mean() if each.mean() else np.nan
    return f"{factor:.6g} times the cross entropy"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the classes, [N, C]."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


# ---- metric ----


def metric_cases(folder: Path) -> list[str]:
    """Write logits, labels and batch sizes: ties, unequal batches, fewer than five classes."""
    generator = np.random.default_rng(1)
    files = []
    for number, (sizes, classes) in enumerate(
        [([8, 8, 3], 10), ([4, 1], 3), ([16], 100), ([5, 5, 5, 2], 7)]
    ):
        logits = generator.integers(-3, 4, [sum(sizes), classes]).astype(np.float64)  # with ties
        logits[: len(logits) // 2] += generator.standard_normal(classes)
        labels = generator.integers(0, classes, sum(sizes))
        labels[-1] = logits[-1].argmax()  # the small last batch is right: a mean of means shows
        files.append(str((folder / f"metric-{number}.npz").resolve()))
        np.savez(files[-1], logits=logits, labels=labels, sizes=np.array(sizes))
    return files


def check_metric(rehearsals: Rehearsals) -> Verdict:
    """Compare what evaluate() says of given batches of logits, and both with the truth."""
    verdict = Verdict("metric", float64=0.0)
    files = metric_cases(rehearsals.folder)
    reports = rehearsals.ask("evaluation", weights=None, cases=files)
    for number, file in enumerate(files):
        with np.load(file) as case:
            logits, labels, sizes = case["logits"], case["labels"], case["sizes"]
        truth = true_metrics(logits, labels)
        own, theirs = (reports[side]["cases"][number] for side in FRAMEWORKS)
        for name in [*own, *(name for name in theirs if name not in own)]:
            values = [found.get(name, np.nan) for found in (own, theirs)]
            apart = abs(values[0] - values[1]) / max(abs(values[0]), 1e-12)
            verdict.float64 = max(verdict.float64, apart if np.isfinite(apart) else 0.0)
            if apart <= 1e-5:  # counted in float32 on the way
                continue
            known = known_metrics(name, truth, logits, labels, sizes)
            told = "; ".join(
                f"{NAMES[side]}: {value:.6g}, {name_metric(value, known)}"
                for side, value in zip(FRAMEWORKS, values, strict=True)
            )
            where = f"{name}, batches of {', '.join(map(str, sizes))}, {logits.shape[1]} classes"
            lines = [rf'"{name}"', r"correct|loss_sum|mean"]
            if "ties" in told or "otherwise" in told:  # how one sample is counted
                lines = [r"score|topk|argsort|argmax|k=\d", *lines]
            fix = sources.fix(
                rehearsals.sides, FIX_METRIC, *lines, within=METRIC, files=("train.py", "metric.py")
            )
            verdict.diverge(where, told, fix)
    modes = [reports[side]["mode"] for side in FRAMEWORKS]
    if modes[0] != modes[1]:
        told = f"the network is measured in {modes[0]} mode in PyTorch, in {modes[1]} mode in "
        told += "PaddlePaddle"
        what = "call model.eval() before the first batch"
        fix = sources.fix(
            rehearsals.sides, what, r"\.eval\(|\.train\(", r"for ", within=METRIC[1:], files=TRAIN
        )
        verdict.diverge("evaluate", told, fix)
    return verdict


METRIC = ("count_correct", "evaluate")


FIX_METRIC = (
    "count the correct samples of all batches, divide by the number of samples and multiply by 100"
)


def ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many classes stand before each label; of equal logits the lower class does."""
    score = np.take_along_axis(logits, labels[:, None], axis=1)
    classes = np.arange(logits.shape[1])
    before = (logits > score) | ((logits == score) & (classes < labels[:, None]))
    return before.sum(axis=1)


def true_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return val_loss, and val_top1 and val_top5 in per cent."""
    each = -np.log(softmax(logits))[np.arange(len(labels)), labels]
    place = ranks(logits, labels)
    return {
        "val_loss": float(each.mean()),
        "val_top1": 100 * float((place < 1).mean()),
        "val_top5": 100 * float((place < 5).mean()),
    }


def known_metrics(name, truth, logits, labels, sizes) -> dict[str, float]:
    """Return, in words, the ways in which a metric is got wrong, with the value of each."""
    ends = np.cumsum(sizes)
    slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    each = [true_metrics(logits[one], labels[one])[name] for one in slices]
    score = np.take_along_axis(logits, labels[:, None], axis=1)
    k = 5 if name == "val_top5" else 1
    strictly = 100 * ((logits >= score).sum(axis=1) <= k).mean()
    lucky = 100 * ((logits > score).sum(axis=1) < k).mean()
    right = truth[name]
    return {
        "as it should be": right,
        "a fraction, not per cent": right / 100,
        "the mean of the batches' means: unequal batches count alike": float(np.mean(each)),
        "a fraction, and the mean of the batches' means": float(np.mean(each)) / 100,
        "the last batch alone": each[-1],
        "the last batch left out": float(np.average(each[:-1], weights=sizes[:-1]))
        if len(each) > 1
        else np.nan,
        "the sum, not divided by the number of samples": right * len(labels) / 100,
        "an error, not an accuracy": 100 - right,
        "top-1 in its place": truth["val_top1"],
        "top-5 in its place": truth["val_top5"],
        "padded to whole batches": float(np.sum(np.array(each) * sizes)) / (len(each) * sizes[0]),
        "ties counted as wrong": strictly if "top" in name else np.nan,
        "ties counted as correct": lucky if "top" in name else np.nan,
    }


def name_metric(value: float, known: dict[str, float]) -> str:
    """Return how a metric's value comes about, in words."""
    for words, candidate in known.items():
        if abs(candidate - value) <= 1e-4 * max(abs(value), 1e-9):
            return words
    return "counted otherwise"


# ---- lr ----

SCHEDULES = {
    "stairs": [
        "--schedule",
        "step",
        "--lr-step-size",
        "1",
        "--lr-gamma",
        "0.5",
        "--warmup-epochs",
        "0",
    ],
    "cosine with warm-up": ["--schedule", "cosine", "--warmup-epochs", "1"],
}
EPOCHS = 4
WARM = 3  # steps: a schedule that changes before has a warm-up


def check_lr(rehearsals: Rehearsals) -> Verdict:
    """Compare the learning rate that the optimizer uses at each step, with two schedules.

    It is stated for 8 GPUs, so that its scaling to the one process is in it.
    """
    verdict = Verdict("lr", float64=0.0)
    for name, options in SCHEDULES.items():
        more = ["--epochs", str(EPOCHS), "--lr", "0.8", "--gpus", "8", *options]
        reports = rehearsals.ask("lr", *more, weights=None, most=SMALL)
        rows = {side: reports[side]["rows"] for side in FRAMEWORKS}
        rates = {side: [_used(row) for row in rows[side]] for side in FRAMEWORKS}
        table = [["step", "PyTorch uses", "PaddlePaddle uses", "reports", "reports"]]
        for step, (own, theirs) in enumerate(zip(rows["torch"], rows["paddle"], strict=False)):
            used = rates["torch"][step], rates["paddle"][step]
            table.append(
                [str(step), *(f"{v:.8g}" for v in used), own["reported"], theirs["reported"]]
            )
        verdict.details.append({"title": name, "table": [[str(c) for c in row] for row in table]})
        if len(rates["torch"]) != len(rates["paddle"]):
            told = f"{len(rates['torch'])} steps in PyTorch, {len(rates['paddle'])} in PaddlePaddle"
            verdict.diverge(name, told, "take as many steps an epoch")
        if _is_another_rule(reports):
            continue  # what the optimizer makes of its rate has a checkpoint of its own
        for torch, paddle in rehearsals.pairs():
            _compare_rates(verdict, name, rows, rates, (torch, paddle), rehearsals.sides)
    return verdict


def _used(row: dict) -> float:
    """Return the rate that most parameters moved by."""
    return float(np.median(list(row["used"].values()))) if row["used"] else np.nan


def _is_another_rule(reports: dict[str, dict]) -> bool:
    """Say whether both report the same rates, and one moves by something else.

    That is what Adam, RMSProp and a decay beside the gradient do; the schedule is none the worse
    for it. A schedule that is stepped at another time moves by what is reported one step before or
    after.
    """
    rows = {side: reports[side]["rows"] for side in FRAMEWORKS}
    reported = [np.array([row["reported"] for row in own]) for own in rows.values()]
    if len(reported[0]) != len(reported[1]) or not np.allclose(*reported, rtol=1e-9, atol=0):
        return False
    if any(set(reports[side]["roles"]) - {"velocity"} for side in FRAMEWORKS):
        return True
    for side, own in zip(FRAMEWORKS, reported, strict=True):
        used = np.array([_used(row) for row in rows[side]])
        shares = used / own
        plain = np.isclose(used[:, None], own, rtol=1e-6, atol=0).any(axis=1)  # [steps]
        if np.ptp(shares) > 1e-3 * abs(shares).max() and plain.mean() < 0.5:
            return True
    return False


def _compare_rates(verdict, schedule, rows, rates, names, sides) -> None:
    """Compare the rates at which a parameter moves; `names` are its names on both sides."""
    for step, both in enumerate(zip(*rows.values(), strict=False)):
        if any(name not in row["used"] for row, name in zip(both, names, strict=True)):
            continue
        left, right = (row["used"][name] for row, name in zip(both, names, strict=True))
        if right == 0.0 != left or left == 0.0 != right:
            continue  # left out of the optimizer: that is told at its own checkpoint
        apart = abs(left - right) / max(abs(left), abs(right), 1e-30) if left != right else 0.0
        verdict.float64 = max(verdict.float64, apart)
        if apart > 1e-6:
            most = [rates[side][step] for side in FRAMEWORKS]
            if abs(most[0] - most[1]) <= 1e-6 * abs(most[0]):
                told = f"the rate of {names[0]} alone, which is of {most[0]:.6g} for the others: "
                told += "its group, or ParamAttr(learning_rate)"
                what = "give the groups the same rates; a Paddle group's learning_rate multiplies "
                what += "the optimizer's, PyTorch's replaces it"
                patterns = ("learning_rate", "optimize_attr", "parameters")
            else:
                told, what, patterns = name_rates(rates, rows)
            fix = sources.fix(sides, what, *patterns, within=SCHEDULED, files=("optim.py",))
            where = f"{schedule}, step {step}"
            verdict.diverge(
                where, f"{left:.6g} in PyTorch, {right:.6g} in PaddlePaddle; {told}", fix
            )
            return


SCHEDULED = ("scale_lr", "build", "train_step")
SCHEDULE = (r"StepDecay|StepLR|Cosine|Decay\(", r"scheduler\s*=")
STEPPED = (r"scheduler\.step|\.step\(\)",)


def name_rates(
    rates: dict[str, list[float]], rows: dict[str, list[dict]]
) -> tuple[str, str, tuple[str, ...]]:
    """Return what two different sequences of learning rates say, what to change, and where.

    Where is told by patterns of the line.
    """
    torch, paddle = np.array(rates["torch"]), np.array(rates["paddle"])
    count = min(len(torch), len(paddle))
    torch, paddle = torch[:count], paddle[:count]
    reported = np.array([row["reported"] for row in rows["paddle"][:count]])
    constant = np.ptp(paddle) <= 1e-9 * abs(paddle[0]) and np.ptp(torch) > 0
    if constant and np.ptp(reported) > 0:
        return (
            "PaddlePaddle's scheduler moves and its optimizer does not follow: the schedule is not "
            "attached (the optimizer was given a number)",
            "give the scheduler itself to the optimizer: Momentum(scheduler, ...)",
            (update_faults.OPTIMIZER,),
        )
    if constant:
        return (
            "PaddlePaddle's rate never changes: the schedule is not stepped, or not attached to "
            "the optimizer",
            "call scheduler.step() after every optimizer.step(), and give the scheduler itself to "
            "the optimizer (optim.py)",
            STEPPED,
        )
    ratio = paddle / torch
    if np.ptp(ratio) <= 1e-6 * abs(ratio[0]):
        return (
            f"PaddlePaddle's rate is {ratio[0]:.6g} times PyTorch's at every step: scaling (to the "
            "number of GPUs), or another rate",
            "scale the recipe's rate: lr * world_size / gpus",
            (r"return .*lr", r"lr\s*=", update_faults.OPTIMIZER),
        )
    for shift in (1, -1):
        moved = torch[shift:] if shift > 0 else torch[:shift]
        against = paddle[:-shift] if shift > 0 else paddle[-shift:]
        if np.allclose(moved, against, rtol=1e-6):
            early = "early" if shift > 0 else "late"
            return (
                f"the schedule is one step {early}",
                "step it once, after the optimizer's step",
                STEPPED,
            )
    changes = [
        np.flatnonzero(np.abs(np.diff(a)) > 1e-9 * np.abs(a[:-1])) + 1 for a in (torch, paddle)
    ]
    if len(changes[0]) and len(changes[1]) and not np.array_equal(*changes):
        told = f"it changes at steps {changes[0][:4].tolist()} in PyTorch, "
        told += (
            f"{changes[1][:4].tolist()} in PaddlePaddle: the step size of the schedule, counted "
        )
        return (
            told + "in epochs or in steps, or when it is stepped",
            "use the same step size",
            SCHEDULE,
        )
    if len(changes[0]) and np.array_equal(*changes):
        at = int(changes[0][0])
        with np.errstate(divide="ignore"):  # a warm-up may begin at 0
            factors = torch[at] / torch[at - 1], paddle[at] / paddle[at - 1]
        told = f"at step {at} it is multiplied by {factors[0]:.6g} and {factors[1]:.6g}"
        return (
            f"the schedule's factor (gamma), warm-up or end: {told}",
            "use the same schedule",
            (r"WARMUP|LinearWarmup", *SCHEDULE) if at < WARM else SCHEDULE,
        )
    return "another schedule", "use the same schedule with the same arguments", SCHEDULE
