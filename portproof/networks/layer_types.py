"""The layers of both frameworks by one name: torch's. What their settings and tensors are called.

https://pytorch.org/docs/stable/nn.html
https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/Overview_en.html
"""

import re
from typing import Any

# Paddle's classes where more than the case of a letter (Conv2D, Conv2d) differs.
_PADDLE_KINDS = {
    "BatchNorm": "BatchNorm2d",  # for any number of axes; its tensors are those of BatchNorm2d
    "SyncBatchNorm": "BatchNorm2d",
    **{f"Conv{axes}DTranspose": f"ConvTranspose{axes}d" for axes in (1, 2, 3)},
    "Silu": "SiLU",
    "Swish": "SiLU",
}
_TORCH_KINDS = {"SyncBatchNorm": "BatchNorm2d", "NonDynamicallyQuantizableLinear": "Linear"}

# The tensors of a fully connected layer that Paddle keeps as [in, out] and torch as [out, in],
# those of normalized weights among them.
LINEAR_ROLES = {"weight", "weight_orig", "weight_v"}

# Paddle's name of a layer's tensor -> torch's.
_PADDLE_ROLES = {"_mean": "running_mean", "_variance": "running_var"}
COUNTER = "num_batches_tracked"  # of torch's batch normalization; Paddle has no such tensor

# Paddle's name of a setting -> torch's.
_PADDLE_SETTINGS = {
    "epsilon": "eps",
    "ksize": "kernel_size",
    "axis": "dim",
    "start_axis": "start_dim",
    "stop_axis": "end_dim",
}
_CONV = "stride padding dilation groups kernel_size padding_mode"
_SETTINGS = {  # by kind, those that change the result of a layer; the rest are shapes or names
    "Adaptive": "output_size",
    "ConvTranspose": f"{_CONV} output_padding",
    "Conv": _CONV,
    "MaxPool": "kernel_size stride padding dilation ceil_mode",
    "AvgPool": "kernel_size stride padding ceil_mode count_include_pad",
    "BatchNorm": "eps momentum act use_global_stats",
    "LayerNorm": "eps",
    "GroupNorm": "eps num_groups",
    "InstanceNorm": "eps momentum",
    "LocalResponseNorm": "size alpha beta k groups",
    "Dropout": "p mode",
    "LeakyReLU": "negative_slope",
    "ELU": "alpha",
    "GELU": "approximate",
    "Softmax": "dim",
    "Hardtanh": "min_val max_val",
    "Softplus": "beta threshold",
    "Upsample": "size scale_factor mode align_corners",
    "Pad": "padding value",
    "Flatten": "start_dim end_dim",
}
# A number for each axis.
_SPATIAL = {"kernel_size", "stride", "padding", "dilation", "output_size", "output_padding"}
_DEFAULTS = {"groups": 1, "dilation": 1, "padding_mode": "zeros", "mode": "upscale_in_train"}

_ACTIVATIONS = """
    ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Tanh Hardswish Hardsigmoid Hardtanh
    Sigmoid Softplus Softsign LogSigmoid
"""
ACTIVATIONS = set(_ACTIVATIONS.split())
# Layers that give what they give whatever the axes of their input.
AXIS_FREE = {"Dropout", "Flatten", "Identity"} | ACTIVATIONS


def family(kind: str) -> str:
    """Return what layers without weights serve for, so that one can stand for another."""
    if kind in ACTIVATIONS:
        return "activation"
    names = ("Pool", "Norm", "Dropout", "Softmax", "Upsample", "Pad")
    return next((name for name in names if name in kind), kind)


def spell(framework: str, name: str, value: Any) -> str:
    """Return a setting as it is written in code of `framework`."""
    if name == "training":
        return "training=self.training"
    if name == "bias":
        return "bias to the layer's own" if value else "no bias"
    if framework == "paddle":
        if name == "count_include_pad":
            return f"exclusive={not value}"
        if name == "momentum" and value is not None:
            return f"momentum={round(1 - value, 12):g}"
        names = {torch: paddle for paddle, torch in _PADDLE_SETTINGS.items() if paddle != "ksize"}
        name = names.get(name, name)
    if isinstance(value, list) and value and value == value[:1] * len(value):
        value = value[0]
    return f"{name}={value!r}"


def canonical_kind(framework: str, kind: str) -> str:
    """Return torch's name of a layer of `framework` (torch or paddle)."""
    if framework == "torch":
        return _TORCH_KINDS.get(kind, kind)
    return _PADDLE_KINDS.get(kind) or re.sub(r"([123])D$", r"\1d", kind)


def canonical_role(framework: str, kind: str, role: str) -> str:
    """Return torch's name of a tensor of a layer of this canonical kind."""
    if framework == "paddle" and "Norm" in kind:
        return _PADDLE_ROLES.get(role, role)
    return role


def canonical_settings(framework: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer that decide its result, with torch's names and meanings."""
    if framework == "paddle":
        settings = {_PADDLE_SETTINGS.get(name, name): v for name, v in settings.items()}
        if "exclusive" in settings:  # leaves the padding out of the mean
            settings["count_include_pad"] = not settings["exclusive"]
        settings["padding"] = settings.pop("updated_padding", settings.get("padding"))
        if kind == "GELU":
            settings["approximate"] = "tanh" if settings["approximate"] else "none"
        if "momentum" in settings and "Norm" in kind and settings["momentum"] is not None:
            settings["momentum"] = round(1 - settings["momentum"], 12)  # the share of the new value
        if "act" in settings:  # paddle.nn.BatchNorm has False where the others have None
            settings["use_global_stats"] = settings.get("use_global_stats") or None
    elif settings.get("track_running_stats") is False:
        settings["use_global_stats"] = False
    wanted = next((names for start, names in _SETTINGS.items() if start in kind), "")
    axes = int(kind[-2]) if re.search(r"\dd$", kind) else 0
    canonical = {}
    for name in wanted.split():
        setting = settings.get(name, _DEFAULTS.get(name))
        if setting is None and name == "stride":
            setting = settings.get("kernel_size")  # of a pool
        canonical[name] = _flat(setting, axes) if name in _SPATIAL else setting
    if not any(canonical.get("padding") or ()):
        canonical.pop("count_include_pad", None)  # there is no padding to count
    return canonical


def _flat(setting: Any, axes: int) -> Any:
    """Write 3, [3] and [3, 3] alike."""
    if isinstance(setting, (list, tuple)):
        return list(setting) * axes if len(setting) == 1 and axes else list(setting)
    return [setting] * axes if type(setting) in (int, float) and axes else setting
