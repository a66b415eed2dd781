"""The checkpoint distributed: do two processes train as one with the whole batch does?"""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from portproof.core.findings import Cause
from portproof.core.step_compare import relative
from portproof.core.training_pair import TrainingPair, exact
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose.source_lines import makers, near, with_line
from portproof.numeric import fingerprints
from portproof.system import processor
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import Side, ask_both

PROCESSES = 2
BATCH = 9  # images of each process; of the last step of an epoch one alone
STEPS = 2  # an epoch of the images drawn here
SAME = 1e-9  # relative, float64; measured: 1e-15
EVALUATION = 1e-6  # it sums in float32
RUNNING = "compared with the running statistics in use: by those of its batch, each process would "
RUNNING += "normalize its own part alone, and two would not be one with the whole batch"


def check_distributed(pair: TrainingPair, steps: int = STEPS) -> Verdict:
    """Compare, in each side by itself, two processes with one that has the whole batch."""
    verdict = Verdict("distributed", float64=0.0)
    plan = {"steps": steps, "kinds": ["gradient", "after"]}
    alone = [(framework, {}) for framework in FRAMEWORKS]
    wholes = ask(pair, alone, plan)
    if any(report["training"]["buffers"] for report in wholes):
        plan["evaluates"] = True
        wholes = ask(pair, alone, plan)
        verdict.why = RUNNING
    for framework, whole in zip(FRAMEWORKS, wholes, strict=True):
        processes = [(framework, environment) for environment in environments(framework)]
        parts = ask(pair, processes, plan)
        side = pair.sides[framework]
        _check_training(verdict, side, *(report["training"] for report in (whole, *parts)))
        if verdict.verdict != DIVERGED:
            _check_evaluation(verdict, side, whole["evaluate"], parts[0]["evaluate"])
    return verdict


def environments(framework: str) -> list[dict[str, str]]:
    """Return what the framework's launcher would tell each process, on this machine alone."""
    with ExitStack() as stack:  # ports that nobody listens at
        sockets = [stack.enter_context(socket.socket()) for _ in range(PROCESSES + 1)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        main, *ports = (listener.getsockname()[1] for listener in sockets)
    points = [f"127.0.0.1:{port}" for port in ports]
    common = {"OMP_NUM_THREADS": str(max(processor.available_cores() // PROCESSES, 1))}
    processes = []
    for rank, point in enumerate(points):
        if framework == "torch":
            process = {"WORLD_SIZE": PROCESSES, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": main}
            process |= {"RANK": rank, "LOCAL_RANK": rank}
        else:
            process = {"PADDLE_TRAINERS_NUM": PROCESSES, "PADDLE_MASTER": f"127.0.0.1:{main}"}
            process |= {"PADDLE_TRAINER_ENDPOINTS": ",".join(points), "PADDLE_TRAINER_ID": rank}
            process |= {"PADDLE_LOCAL_RANK": rank, "PADDLE_CURRENT_ENDPOINT": point}
        processes.append(common | {name: str(setting) for name, setting in process.items()})
    return processes


def ask(pair: TrainingPair, processes: list[tuple[str, dict]], plan: dict) -> list[dict]:
    """Have processes, (framework, environment), work at the same time; return their reports."""
    pair.requests += 1
    sides, folders, requests = [], [], []
    for number, (framework, environment) in enumerate(processes):
        count = PROCESSES if environment else 1
        settings = {"epochs": 100, "schedule": "step", "warmup_epochs": 0}
        # A rate that two processes scale to what one process has, with and without the rule.
        settings |= {"lr": exact(0.01), "gpus": count, "batch_size": BATCH * PROCESSES // count}
        side = pair.side(framework, settings, weights="float64")
        sides.append(replace(side, environment=environment))
        folders.append(pair.folder / f"{pair.requests}-distributed-{number}")
        weights = str(pair.files[framework, "float32"])
        training = {"dtype": "float64", "plan": plan}
        requests.append({"training": training, "evaluate": {"settings": {"weights": weights}}})
    return ask_both(sides, folders, requests)


def _check_training(verdict: Verdict, side: Side, whole: dict, *parts: dict) -> None:
    for step in range(len(whole["rows"])):
        cause = _rate(whole, parts, step) or _gradient(whole, parts, step)
        cause = cause or _parameters(verdict, whole, parts, step)
        if cause is not None:
            where = f"{NAMES[side.framework]}, {cause.where}, step {step + 1}"
            stack = near(parts[0], "parallel", "update")
            verdict.blame(with_line(replace(cause, where=where), side, stack))
            return


def _rate(whole: dict, parts: Sequence[dict], step: int) -> Cause | None:
    rate, part = whole["rows"][step]["lr"], parts[0]["rows"][step]["lr"]
    if abs(rate - part) <= SAME * abs(rate):
        return None
    cause = f"learning rate {rate:.6g} in one process, {part:.6g} in each of {PROCESSES}, where "
    cause += "the recipe is meant for as many: scaling to the number of processes is "
    cause += f"{part / rate:.6g}"
    fix = "scale the recipe's rate: lr * world_size / gpus"
    return Cause("learning rate", cause, fix, patterns=(r"return .*lr", r"\blr\s*="))


def _gradient(whole: dict, parts: Sequence[dict], step: int) -> Cause | None:
    """Look backwards: the first gradient that is wrong is that of the last layer."""
    for name, shape in reversed(whole["shapes"].items()):
        gradient, *theirs = (r["tensors"][step]["gradient"].get(name) for r in (whole, *parts))
        if gradient is None or None in theirs:
            continue
        count = int(np.prod(shape))
        if all(fingerprints.relative(gradient, part, count) <= SAME for part in theirs):
            continue
        lines = (r"DataParallel\(", r"return model")
        fix = "average the gradients over the processes once: wrap the network in "
        fix += "DistributedDataParallel / DataParallel"
        factor = theirs[0][2] / gradient[2] if gradient[2] else np.nan
        cause = f"the gradient of {name} "
        if fingerprints.relative(theirs[0], theirs[1], count) > SAME:
            cause += "is another in each process: it is not averaged"
        elif not np.allclose(theirs[0][2:], np.multiply(factor, gradient[2:]), rtol=1e-6, atol=0):
            cause += "differs from that of the whole batch: other samples, "
            cause += "or samples that count for more in a process that has fewer"
            fix, lines = "weigh each process's mean", ("weight", *lines)
        else:
            known = {PROCESSES: "summed, not averaged", 1 / PROCESSES: "averaged twice"}
            how = next((words for f, words in known.items() if abs(factor - f) < 1e-6), "scaled")
            cause += f"is {factor:.6g} times that of one process with the whole batch: it is {how} "
            cause += "over the processes (scaling of gradients)"
            lines = (r"backward\(", *lines)
        return Cause(name, cause, fix, patterns=lines)
    return None


def _parameters(verdict: Verdict, whole: dict, parts: Sequence[dict], step: int) -> Cause | None:
    after, *theirs = (report["tensors"][step]["after"] for report in (whole, *parts))
    for part in theirs:
        for name, apart in relative(after, part, whole["shapes"]).items():
            verdict.float64 = max(verdict.float64, apart)
            if apart > SAME:
                cause = f"{name} is another after the step, with the same gradients"
                fix = "take the same step in all processes"
                return Cause(name, cause, fix, patterns=(r"optimizer\.step", "step"))
    return None


def _check_evaluation(verdict: Verdict, side: Side, whole: dict, part: dict) -> None:
    """Compare what evaluation says of a number of images that the processes cannot share out."""
    framework = NAMES[side.framework]
    for name, metric in whole["results"].items():
        other = part["results"][name]
        if not abs(metric - other) <= EVALUATION * max(abs(metric), 1e-12):
            how = "more than once (padding)" if other > metric else "in part alone"
            cause = f"{name} is {metric:.6g} in one process and {other:.6g} in {PROCESSES}: images "
            cause += f"are counted {how}"
            fix = "count each image once, whatever the number of processes"
            lines = (*makers(part["ran"]), r"Sampler|\[rank|range\(rank", r"all_reduce")
            cause = Cause(f"{framework}, {name}", cause, fix, patterns=lines)
            verdict.blame(with_line(cause, side, part["ran"]))
    if part["predicted"] != whole["predicted"]:
        cause = "the images' classes come back in another order from several processes"
        verdict.diverge(f"{framework}, predictions", cause, "gather them in their own order")
