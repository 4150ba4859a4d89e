"""Weights as matrices, and their truncation to fewer singular directions.

    NC   (out, in·kh·kw)      a k×k convolution to r channels, then 1×1: channel decomposition
    VH   (in·kh, kw·out)      a kh×1 convolution to r channels, then 1×kw: spatial decomposition
    ND   (in, kh·kw) for each filter by itself

Xu et al., Trained Rank Pruning (arXiv:1812.02402), whose names these are. A linear weight is a
matrix already, whatever the name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Matricisation = Literal["NC", "VH", "ND"]
EPSILON = 8 * torch.finfo(torch.float32).eps
"""Singular values below this fraction of the Frobenius norm are rounding: float32 weights."""


def matricise(weight: Tensor, form: Matricisation) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Matrices (count, rows, columns) of a weight, and the way back to its shape."""
    if weight.ndim == 2:
        return weight.unsqueeze(0), lambda matrices: matrices[0]
    out, inputs, high, wide = weight.shape
    if form == "NC":
        return weight.reshape(1, out, -1), lambda matrices: matrices.reshape(weight.shape)
    if form == "ND":
        flat = weight.reshape(out, inputs, high * wide)
        return flat, lambda matrices: matrices.reshape(weight.shape)
    turned = weight.permute(1, 2, 3, 0)  # in, kh, kw, out

    def back(matrices: Tensor) -> Tensor:
        return matrices.reshape(turned.shape).permute(3, 0, 1, 2).contiguous()

    return turned.reshape(1, inputs * high, wide * out), back


def numerical_ranks(weight: Tensor, form: Matricisation) -> Tensor:
    """How many singular values of each matrix are more than rounding: int64 (count,)."""
    matrices, _ = matricise(weight.double(), form)
    return _ranks(torch.linalg.svdvals(matrices))


def energy_ranks(singular: Tensor, energy: float) -> Tensor:
    """Smallest r of each row with Σ_{i<=r} σ² / Σ σ² >= energy; 0 for a matrix of zeros.

    `singular`: (count, k), descending. The comparison allows for rounding of the sums.
    """
    squares = singular.double().square()
    total = squares.sum(dim=1, keepdim=True)
    reached = squares.cumsum(dim=1) >= energy * total * (1 - 1e-12)
    first = reached.to(torch.int8).argmax(dim=1) + 1
    return torch.where(total[:, 0] > 0, first, torch.zeros_like(first))


def truncate(weight: Tensor, form: Matricisation, energy: float) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest weight whose matrices keep only as many directions as `energy` needs.

    Returns the weight (its own dtype), ranks before and ranks after, int64 (count,) each. Energy
    1 keeps every direction, and with it the very same numbers.
    """
    matrices, back = matricise(weight.detach().cpu().double(), form)
    u, singular, v = torch.linalg.svd(matrices, full_matrices=False)
    before = _ranks(singular)
    after = torch.minimum(energy_ranks(singular, energy), before)
    if bool((after == before).all()):
        return weight, before, after
    places = torch.arange(singular.shape[1])
    kept = singular * (places < after.unsqueeze(1))
    return back((u * kept.unsqueeze(1)) @ v).to(weight.dtype), before, after


def _ranks(singular: Tensor) -> Tensor:
    norm = singular.double().square().sum(dim=1, keepdim=True).sqrt()
    return (singular > EPSILON * norm).sum(dim=1)
