"""The checkpoint distributed: do two processes train as one with the whole batch does?"""

import socket
from dataclasses import replace
from typing import Any

import numpy as np

from portproof.core.findings import Cause, at
from portproof.core.training_pair import TrainingPair, exact
from portproof.core.verdict import DIVERGED, Verdict
from portproof.diagnose import source_lines
from portproof.numeric import fingerprints
from portproof.system import processor
from portproof.system.frameworks import FRAMEWORKS, NAMES
from portproof.worker.client import ask_both

PROCESSES = 2
BATCH = 9  # images of each process; of the last step of an epoch one alone
STEPS = 2  # an epoch of the images drawn here
SAME = 1e-9  # relative, float64; measured: 1e-15
EVALUATION = 1e-6  # it sums in float32
RUNNING = (
    "compared with the running statistics in use: by those of its batch, each process would "
    "normalize its own part alone, and two would not be one with the whole batch"
)
# A rate that two processes scale to what one process has, with and without the rule.
RATE = {count: {"lr": exact(0.01), "gpus": count} for count in (1, PROCESSES)}


def check_distributed(pair: TrainingPair, steps: int = STEPS) -> Verdict:
    """Compare, in each side by itself, two processes with one that has the whole batch."""
    verdict = Verdict("distributed", float64=0.0)
    plan = {"steps": steps, "kinds": ["gradient", "after"]}
    alone = [(framework, {}) for framework in FRAMEWORKS]
    whole = ask(pair, alone, plan)
    if any(one["training"]["buffers"] for one in whole):
        plan["evaluates"] = True
        whole = ask(pair, alone, plan)
        verdict.why = RUNNING
    for one, framework in zip(whole, FRAMEWORKS, strict=True):
        processes = [(framework, environment) for environment in environments(framework)]
        several = ask(pair, processes, plan)
        _check_training(verdict, pair, framework, one, several)
        _check_evaluation(verdict, pair, framework, one, several)
    return verdict


def environments(framework: str) -> list[dict[str, str]]:
    """Return what the framework's launcher would tell each process, on this machine alone."""
    ports = free_ports(PROCESSES + 1)
    threads = {"OMP_NUM_THREADS": str(max(processor.available_cores() // PROCESSES, 1))}
    if framework == "torch":
        common = threads | {"WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1"}
        common["MASTER_PORT"] = str(ports[0])
        return [common | {"RANK": str(r), "LOCAL_RANK": str(r)} for r in range(PROCESSES)]
    points = [f"127.0.0.1:{port}" for port in ports]
    common = threads | {"PADDLE_TRAINERS_NUM": str(PROCESSES), "PADDLE_MASTER": points[0]}
    common["PADDLE_TRAINER_ENDPOINTS"] = ",".join(points[1:])
    return [
        common
        | {"PADDLE_TRAINER_ID": str(rank), "PADDLE_LOCAL_RANK": str(rank)}
        | {"PADDLE_CURRENT_ENDPOINT": points[1 + rank]}
        for rank in range(PROCESSES)
    ]


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def ask(
    pair: TrainingPair, processes: list[tuple[str, dict[str, str]]], plan: dict[str, Any]
) -> list[dict]:
    """Have these processes, framework and environment, train and evaluate at the same time.

    Those with an environment are one job. Returns what each reports of training and evaluate.
    """
    pair.asked += 1
    sides, folders, requests = [], [], []
    for number, (framework, environment) in enumerate(processes):
        count = PROCESSES if environment else 1
        settings = RATE[count] | {"batch_size": BATCH * PROCESSES // count}
        settings |= {"epochs": 100, "schedule": "step", "warmup_epochs": 0}
        side = pair.side(framework, settings, weights="float64")
        sides.append(replace(side, environment=environment))
        folders.append(pair.folder / f"{pair.asked}-distributed-{number}")
        weights = str(pair.files[framework, "float32"])
        requests.append(
            {
                "training": {"dtype": "float64", "plan": plan},
                "evaluate": {"settings": {"weights": weights}},
            }
        )
    return ask_both(sides, folders, requests)


def _check_training(
    verdict: Verdict, pair: TrainingPair, framework: str, whole: dict, parts: list[dict]
) -> None:
    one, several = whole["training"], [part["training"] for part in parts]
    for step in range(len(one["rows"])):
        cause = _rate(one, several, step) or _gradient(one, several, step)
        cause = cause or _parameters(verdict, one, several, step)
        if cause is not None:
            stacks = several[0].get("stacks", {})
            near = [*stacks.get("parallel", []), *stacks.get("update", [])]
            line = source_lines.find_line(pair.sides[framework], cause.patterns, near)
            where = f"{NAMES[framework]}, {cause.where}, step {step + 1}"
            verdict.diverge(where, cause.cause, at(line, cause.fix))
            return


def _rate(one: dict, several: list[dict], step: int) -> Cause | None:
    own, theirs = one["rows"][step]["lr"], several[0]["rows"][step]["lr"]
    if abs(own - theirs) <= SAME * abs(own):
        return None
    cause = f"learning rate {own:.6g} in one process, {theirs:.6g} in each of {PROCESSES}, where "
    cause += "the recipe is meant for as many: scaling to the number of processes is "
    cause += f"{theirs / own:.6g}"
    fix = "scale the recipe's rate: lr * world_size / gpus"
    return Cause("learning rate", cause, fix, patterns=(r"return .*lr", r"\blr\s*="))


def _gradient(one: dict, several: list[dict], step: int) -> Cause | None:
    """Look backwards: the first gradient that is wrong is that of the last layer."""
    names = list(one["shapes"])[::-1]
    for name in names:
        own, *theirs = (r["tensors"][step]["gradient"].get(name) for r in (one, *several))
        if own is None or None in theirs:
            continue
        count = int(np.prod(one["shapes"][name]))
        if all(fingerprints.relative(own, t, count) <= SAME for t in theirs):
            continue
        wrapped = (r"DataParallel\(", r"return model")
        fix = "average the gradients over the processes once: wrap the network in "
        fix += "DistributedDataParallel / DataParallel"
        if fingerprints.relative(theirs[0], theirs[1], count) > SAME:
            cause = f"the gradient of {name} is another in each process: it is not averaged"
            return Cause(name, cause, fix, patterns=wrapped)
        factor = theirs[0][2] / own[2] if own[2] else np.nan
        if not np.allclose(np.array(theirs[0][2:]), factor * np.array(own[2:]), rtol=1e-6, atol=0):
            cause = f"the gradient of {name} differs from that of the whole batch: other samples, "
            cause += "or samples that count for more in a process that has fewer"
            return Cause(name, cause, "weigh each process's mean", patterns=("weight", *wrapped))
        words = {PROCESSES: "summed, not averaged", 1 / PROCESSES: "averaged twice"}
        told = next((w for f, w in words.items() if abs(factor - f) < 1e-6), "scaled")
        cause = f"the gradient of {name} is {factor:.6g} times that of one process with the whole "
        cause += f"batch: it is {told} over the processes (scaling of gradients)"
        return Cause(name, cause, fix, patterns=(r"backward\(", *wrapped))
    return None


def _parameters(verdict: Verdict, one: dict, several: list[dict], step: int) -> Cause | None:
    for name, shape in one["shapes"].items():
        own, *theirs = (np.array(r["tensors"][step]["after"][name]) for r in (one, *several))
        for values in theirs:
            apart = fingerprints.relative(own, values, int(np.prod(shape)))
            verdict.float64 = max(verdict.float64, apart)
            if apart > SAME:
                cause = f"{name} is another after the step, with the same gradients"
                fix = "take the same step in all processes"
                return Cause(name, cause, fix, patterns=(r"optimizer\.step", "step"))
    return None


def _check_evaluation(
    verdict: Verdict, pair: TrainingPair, framework: str, whole: dict, parts: list[dict]
) -> None:
    """Compare what evaluation says of a number of images that the processes cannot share out."""
    if verdict.verdict == DIVERGED:
        return
    one, several = whole["evaluate"], [part["evaluate"] for part in parts]
    for name, value in one["results"].items():
        other = several[0]["results"][name]
        if abs(value - other) <= EVALUATION * max(abs(value), 1e-12):
            continue
        cause = f"{name} is {value:.6g} in one process and {other:.6g} in {PROCESSES}: images "
        cause += f"are counted {'more than once (padding)' if other > value else 'in part alone'}"
        what = "count each image once, whatever the number of processes"
        ran = several[0]["ran"]
        patterns = (*source_lines.makers(ran), r"Sampler|\[rank|range\(rank", r"all_reduce")
        line = source_lines.find_line(pair.sides[framework], patterns, ran)
        verdict.diverge(f"{NAMES[framework]}, {name}", cause, at(line, what))
        return
    if several[0]["predicted"] != one["predicted"]:
        cause = "the images' classes come back in another order from several processes"
        verdict.diverge(f"{NAMES[framework]}, predictions", cause, "gather them in their own order")
