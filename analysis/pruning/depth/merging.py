"""Two convolutions in a row as one, BatchNorm folded in.

For weights W1 (stride s1) and W2 the merged kernel has k1 + (k2 - 1)·s1 positions a side, the
stride s1·s2 and the bias Σ W2·b1 + b2. Exact when only the first one pads (Kim et al., Efficient
Latency-Aware CNN Depth Compression, arXiv:2301.12187; LayerMerge, arXiv:2406.12837).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.architectures.merges import padding_of


@dataclass(frozen=True, eq=False)
class Affine:
    """A convolution as numbers, float64.

    Attributes
    ----------
    weight: (out, in, kh, kw); bias: (out,).
    stride, padding: rows, columns.
    """

    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]

    def then(self, later: Affine) -> Affine:
        """`later` applied to what this one makes; `later` must not pad.

        Raises ValueError when it does.
        """
        if later.padding != (0, 0):
            raise ValueError("a padded convolution cannot be merged into the one before it")
        weight = F.conv_transpose2d(later.weight, self.weight, stride=self.stride)
        bias = later.bias + later.weight.sum(dim=(2, 3)) @ self.bias
        stride = (self.stride[0] * later.stride[0], self.stride[1] * later.stride[1])
        return Affine(weight, bias, stride, self.padding)


def affine(layer: nn.Conv2d, norm: _BatchNorm | None = None) -> Affine:
    """A plain convolution, with the BatchNorm (in evaluation mode) that reads its output."""
    weight = layer.weight.detach().double()
    bias = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
    if layer.bias is not None:
        bias = layer.bias.detach().double()
    if norm is not None:
        scale, shift = _norm(norm)
        weight, bias = weight * scale[:, None, None, None], bias * scale + shift
    stride = (int(layer.stride[0]), int(layer.stride[1]))
    return Affine(weight, bias, stride, padding_of(layer))


def _norm(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift of y = scale · x + shift."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a BatchNorm without running statistics cannot be folded")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()
