"""Several processes that train one network together, by this framework's own engine.

`python -m paddle.distributed.launch --nproc_per_node N AlexNet-paddle/train.py` starts them; alone,
train.py is one of one.
https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/distributed/launch_en.html
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import nn

from common.training.run_folder import ending
from portproof.system import errors
from portproof.system.errors import UserError

LOST = "another process of this job has ended or cannot be reached"


def local_rank() -> int:
    """Return the number of this process on its machine: that of its GPU."""
    return int(os.environ.get("PADDLE_LOCAL_RANK") or os.environ.get("PADDLE_RANK_IN_NODE") or 0)


def global_rank() -> int:
    """Return the number of this process in its job, before it has joined the others."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def launched() -> bool:
    """Say whether a launcher has started this process as one of several."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1


def start(device: str) -> tuple[int, int]:
    """Join the other processes of the job, if there are any; return rank and world size.

    GPUs talk by NCCL, processors by gloo.
    """
    if not launched():
        return 0, 1
    with lost_peers():
        if device == "cpu":
            os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
        if not dist.is_initialized():
            dist.init_parallel_env()
        return dist.get_rank(), dist.get_world_size()


def end() -> None:
    """Leave the job."""
    if launched() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes that have joined the job."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wrap(model: nn.Layer, device: str) -> nn.Layer:
    """Return the network with gradients that are averaged over the processes."""
    if world_size() == 1:
        return model
    return paddle.DataParallel(model)


def gradient_sync(network: nn.Layer, ends_step: bool):
    """Return the context of a backward pass; gradients are averaged in a step's last one alone."""
    if ends_step or not isinstance(network, paddle.DataParallel):
        return nullcontext()
    return network.no_sync()


def all_reduce_sum(values: list[float]) -> list[float]:
    """Return the sums of `values` over all processes."""
    if world_size() == 1:
        return values
    sums = paddle.to_tensor(values, dtype="float64")
    dist.all_reduce(sums)
    return sums.tolist()


def all_reduce_max(values: list[int]) -> list[int]:
    """Return the largest of `values` over all processes, each for itself."""
    if world_size() == 1:
        return values
    most = paddle.to_tensor(values, dtype="int64")
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return most.tolist()


def gather(array: np.ndarray, length: int) -> np.ndarray:
    """Return the values of all processes, [length], where process r has those of r, r + W, ..."""
    if world_size() == 1:
        return array
    parts: list[Any] = []
    dist.all_gather_object(parts, array)
    whole = np.empty(length, array.dtype)
    for rank, part in enumerate(parts):
        whole[rank :: world_size()] = part
    return whole


def job(main: Callable) -> Callable:
    """Have `main` speak once for all processes, leave the job at its end, and say who is lost."""

    @functools.wraps(main)
    def run(*arguments, **options):
        errors.speak_once(global_rank())
        with ending, lost_peers():
            evaluation = main(*arguments, **options)
            end()
        return evaluation

    return run


@contextmanager
def lost_peers() -> Iterator[None]:
    """Turn what is raised when another process is gone into one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        text = str(error)
        if launched() and any(
            word in text for word in ("onnect", "gloo", "NCCL", "peer", "closed")
        ):
            raise UserError(
                f"{LOST} ({text.splitlines()[0][:200]}); see its own message above, then start the "
                "job again with --resume auto"
            ) from error
        raise
