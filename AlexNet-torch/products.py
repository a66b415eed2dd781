"""The products of Linear layers in float32 on a processor, by the quicker of torch's two libraries.

torch multiplies float32 matrices by MKL, which on a processor that is not Intel's leaves AVX-512
alone; its convolutions go to oneDNN, which does not. With oneDNN for the Linear layers too, a step
of AlexNet takes about a tenth less time on such a processor, with the same weights, keys and
formulas; results differ by rounding. https://github.com/uxlfoundation/oneDNN
"""

import torch
from torch import nn

from portproof.system import processor


def use_onednn(model: nn.Module) -> None:
    """Have the Linear layers of `model` multiply by oneDNN where that is quicker, else change none.

    What oneDNN is not meant for stays as it was: other dtypes, a GPU, autocast, torch.compile.
    """
    if is_quicker():
        for layer in model.modules():
            if type(layer) is nn.Linear:
                layer.__class__ = Linear  # the same parameters under the same keys


def is_quicker() -> bool:
    """Say whether oneDNN is there and multiplies float32 faster than MKL on this processor."""
    has_operator = torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    )
    return has_operator and processor.mkl_leaves_avx512_alone()


class Linear(nn.Linear):
    """nn.Linear, [N, in] -> [N, out], float32 on a processor by oneDNN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_plain = x.ndim == 2 and x.dtype == self.weight.dtype == torch.float32
        on_processor = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if is_plain and on_processor and not torch.compiler.is_compiling():
            return Product.apply(x, self.weight, self.bias)
        return super().forward(x)


class Product(torch.autograd.Function):
    """x [N, in], weight [out, in], bias [out] or None -> x weight^T + bias, [N, out]."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return multiply(x, weight, bias)

    @staticmethod
    def backward(ctx, grad):  # [N, out]
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            multiply(grad, weight.T) if needs_x else None,  # [N, in]
            multiply(grad.T, x.T) if needs_weight else None,  # [out, in]
            grad.sum(dim=0) if needs_bias else None,  # [out]
        )


def multiply(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return x weight^T + bias by oneDNN: [N, in], [out, in], [out] -> [N, out]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
