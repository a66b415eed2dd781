"""Device, memory layout, precision and compilation: what framework and machine make different."""

import argparse
import os

import torch
from torch import nn

import distributed
from portproof.system import errors, processor
from portproof.system.errors import first_line

AMP = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_up(args: argparse.Namespace) -> torch.device:
    """Return the device to train on; set how the framework computes, and --amp auto to what it is.

    Raises UserError where the device is missing, or cannot do what is asked for.
    """
    device = choose_device(args.device)
    if args.amp == "auto":
        args.amp = "bf16" if is_quick_in_bf16(device) else "off"
    if args.amp == "fp16" and device.type == "cpu":
        raise errors.UserError("--amp fp16: needs a GPU; on this processor use --amp bf16")
    # On a GPU, have each convolution try its algorithms once and take the quickest.
    torch.backends.cudnn.benchmark = not args.deterministic
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Pooling on a GPU has no other algorithm: that one warns, and does not end the run.
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def choose_device(name: str) -> torch.device:
    """Use the device called auto, cpu, gpu or gpu:NUMBER. Raises UserError if it is missing."""
    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    number = int(name.partition(":")[2] or distributed.local_rank())
    if number >= count:
        raise errors.UserError(
            f"--device {name}: this machine and this torch have {count} usable GPUs; "
            "use --device cpu, or install a torch built for your GPU"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def is_quick_in_bf16(device: torch.device) -> bool:
    """Say whether the device multiplies bf16 numbers faster than float32."""
    if device.type == "cpu":
        return processor.has_bf16()
    return torch.cuda.is_bf16_supported(including_emulation=False)


def gpu_name(device: torch.device) -> str | None:
    """Return what the device is called by its maker; None for a processor."""
    return None if device.type == "cpu" else torch.cuda.get_device_name(device)


def move_model(model: nn.Module, device: torch.device, args: argparse.Namespace) -> nn.Module:
    """Return the model on its device, in its layout."""
    model = model.to(device)
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
        model.register_forward_pre_hook(lay_channels_last)
    return model


def lay_channels_last(model: nn.Module, inputs: tuple) -> tuple:
    """Return the images of a forward pass as [N, H, W, C] in memory; their shape stays."""
    return tuple(images.contiguous(memory_format=torch.channels_last) for images in inputs)


def move_batch(
    images: torch.Tensor, labels: torch.Tensor, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch on the device, images in the dtype in which networks are made."""
    return images.to(device, torch.get_default_dtype()), labels.to(device)


def autocast(images: torch.Tensor, args: argparse.Namespace) -> torch.autocast:
    """Return the context in which the framework computes most things in 16 bits, with --amp."""
    return torch.autocast(images.device.type, AMP[args.amp], enabled=args.amp != "off")


def compile_model(model: nn.Module, device: torch.device, args: argparse.Namespace) -> nn.Module:
    """Return the model, with --compile as the framework compiles it.

    Raises UserError where it cannot.
    """
    if not args.compile:
        return model
    network = torch.compile(model)
    try:  # it compiles at the first call
        network(torch.zeros(args.batch_size, 3, args.image_size, args.image_size, device=device))
    except Exception as error:
        raise errors.UserError(
            f"--compile: not possible here ({first_line(error)}); torch.compile needs a C++ "
            "compiler (Debian and Ubuntu: apt install g++); install it, or leave --compile out"
        ) from error
    return network
