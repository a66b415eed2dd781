"""Several processes that train one network together, by this framework's own engine.

`torchrun --nproc-per-node N AlexNet-torch/train.py` starts them; alone, train.py is one of one.
https://docs.pytorch.org/docs/stable/elastic/run.html
"""

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from common.training.run_folder import ending
from portproof.system import errors
from portproof.system.errors import UserError

# Seconds in which gloo's threads are done with the last sums. One that still waits for Python's
# lock as the network goes is waited for in turn, for ever, or ends the process by SIGABRT as the
# interpreter goes (torch 2.12.1).
SETTLE = 0.5
LOST = "another process of this job has ended or cannot be reached"


def local_rank() -> int:
    """Return the number of this process on its machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def global_rank() -> int:
    """Return the number of this process in its job, before it has joined the others."""
    return int(os.environ.get("RANK", "0"))


def launched() -> bool:
    """Say whether a launcher has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def start(device: torch.device) -> tuple[int, int]:
    """Join the other processes of the job, if there are any; return rank and world size.

    GPUs talk by NCCL, processors by gloo.
    """
    if not launched():
        return 0, 1
    with lost_peers():
        if not dist.is_initialized():
            dist.init_process_group("gloo" if device.type == "cpu" else "nccl")
        return dist.get_rank(), dist.get_world_size()


def end() -> None:
    """Leave the job."""
    if launched() and dist.is_initialized():
        settle()
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes that have joined the job."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wrap(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with gradients that are averaged over the processes."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, None if device.type == "cpu" else [device.index])


def gradient_sync(network: nn.Module, ends_step: bool):
    """Return the context of a backward pass; gradients are averaged in a step's last one alone."""
    if ends_step or not isinstance(network, DistributedDataParallel):
        return nullcontext()
    return network.no_sync()


def all_reduce_sum(values: list[float]) -> list[float]:
    """Return the sums of `values` over all processes."""
    if world_size() == 1:
        return values
    sums = torch.tensor(values, dtype=torch.float64, device=sum_device())
    dist.all_reduce(sums)
    return sums.tolist()


def all_reduce_max(values: list[int]) -> list[int]:
    """Return the largest of `values` over all processes, each for itself."""
    if world_size() == 1:
        return values
    most = torch.tensor(values, dtype=torch.int64, device=sum_device())
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return most.tolist()


def sum_device() -> str:
    """Return where tensors lie that the processes exchange."""
    return "cpu" if dist.get_backend() == "gloo" else "cuda"


def gather(array: np.ndarray, length: int) -> np.ndarray:
    """Return the values of all processes, [length], where process r has those of r, r + W, ..."""
    if world_size() == 1:
        return array
    parts: list[Any] = [None] * world_size()
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
        settle()
        text = str(error)
        if launched() and any(
            word in text for word in ("onnect", "gloo", "NCCL", "peer", "closed")
        ):
            raise UserError(
                f"{LOST} ({text.splitlines()[0][:200]}); see its own message above, then start the "
                "job again with --resume auto"
            ) from error
        raise
    except BaseException:  # a user's mistake, or the end by a signal
        settle()
        raise


def settle() -> None:
    """Give gloo's threads the time that they need before the network or the interpreter goes."""
    if launched():
        time.sleep(SETTLE)
