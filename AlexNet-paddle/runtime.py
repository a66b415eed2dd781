"""Device, precision and compilation: what framework and machine make different."""

import argparse

import paddle
from paddle import nn

import distributed
from portproof.system import errors
from portproof.system.errors import first_line

AMP = {"off": "float16", "bf16": "bfloat16", "fp16": "float16"}  # auto_cast knows no float32


def set_up(args: argparse.Namespace) -> str:
    """Return the device to train on; set how the framework computes, and --amp auto to what it is.

    Raises UserError where the device is missing, or cannot do what is asked for.
    """
    device = choose_device(args.device)
    if args.amp == "auto":
        args.amp = "bf16" if is_quick_in_bf16(device) else "off"
    if args.amp != "off" and device == "cpu":
        raise errors.UserError(
            f"--amp {args.amp}: Paddle multiplies no matrices of 16 bits on a processor; leave it "
            "out, use a GPU, or the torch tree with --amp bf16"
        )
    # On a GPU, have each convolution try its algorithms once and take the quickest.
    if device != "cpu":
        paddle.set_flags({"FLAGS_cudnn_exhaustive_search": not args.deterministic})
    if args.deterministic and device != "cpu":  # a processor always is
        paddle.set_flags({"FLAGS_cudnn_deterministic": True})
    return device


def choose_device(name: str) -> str:
    """Use the device called auto, cpu, gpu or gpu:NUMBER. Raises UserError if it is missing."""
    count = paddle.device.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count):
        paddle.set_device("cpu")
        return "cpu"
    number = int(name.partition(":")[2] or distributed.local_rank())
    if number >= count:
        raise errors.UserError(
            f"--device {name}: this machine and this paddle have {count} usable GPUs; "
            "use --device cpu, or install paddlepaddle-gpu"
        )
    paddle.set_device(f"gpu:{number}")
    return f"gpu:{number}"


def is_quick_in_bf16(device: str) -> bool:
    """Say whether the device multiplies bf16 numbers faster than float32."""
    if device == "cpu":
        return False  # Paddle 3.3.1 has no such kernels for a processor
    return paddle.amp.is_bfloat16_supported(device)


def gpu_name(device: str) -> str | None:
    """Return what the device is called by its maker; None for a processor."""
    return None if device == "cpu" else paddle.device.cuda.get_device_name(device)


def move_model(model: nn.Layer, device: str, args: argparse.Namespace) -> nn.Layer:
    """Return the model, which Paddle makes on the device."""
    return model


def move_batch(
    images: paddle.Tensor, labels: paddle.Tensor, device: str
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Return a batch on the device, images in the dtype in which networks are made."""
    return images.astype(paddle.get_default_dtype()), labels


def autocast(images: paddle.Tensor, args: argparse.Namespace) -> paddle.amp.auto_cast:
    """Return the context in which the framework computes most things in 16 bits, with --amp."""
    return paddle.amp.auto_cast(args.amp != "off", dtype=AMP[args.amp])


def compile_model(model: nn.Layer, device: str, args: argparse.Namespace) -> nn.Layer:
    """Return the model, with --compile as the framework compiles it.

    Raises UserError where it cannot.
    """
    if not args.compile:
        return model
    network = paddle.jit.to_static(model)
    try:  # it compiles at the first call
        network(paddle.zeros([args.batch_size, 3, args.image_size, args.image_size]))
    except Exception as error:
        raise errors.UserError(
            f"--compile: not possible here ({first_line(error)}); leave --compile out"
        ) from error
    return network
