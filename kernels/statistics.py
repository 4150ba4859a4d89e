"""Statistics of masked weights in one pass: zeros, moments, extremes, a histogram.

Sums are made in float64 over fixed chunks that are added in their order: the last digit does not
depend on the number of threads. Two paths may differ in it, and in it only; counts are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels import bitmask
from kernels.paths import fast

_FAST = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class WeightStatistics:
    """What `weight_statistics` finds; a removed weight counts as 0.

    Attributes
    ----------
    size: number of weights; kept: those that the mask keeps, zeros among them too.
    zeros: weights that are 0, removed ones included.
    total, l1, l2: sum, sum of magnitudes, root of the sum of squares.
    minimum, maximum: of the weights that are not 0; 0 where there is none.
    counts: (B,) int64 on the CPU: weights that are not 0, in each bin; those outside all bins
        are not counted.
    """

    size: int
    kept: int
    zeros: int
    total: float
    l1: float
    l2: float
    minimum: float
    maximum: float
    counts: Tensor


def weight_statistics(
    weight: Tensor, edges: np.ndarray, packed: Tensor | None = None
) -> WeightStatistics:
    """Statistics of a tensor under a mask.

    Parameters
    ----------
    weight: floating point, any shape.
    edges: (B + 1,) increasing, evenly spaced. A bin holds its left edge, and the last one its
        right edge too, exactly as in `numpy.histogram`.
    packed: keep-mask (kernels/bitmask.py) on the same device; all weights when it is None.

    Raises
    ------
    ValueError: a kept weight is NaN, the edges are not evenly spaced, or the mask does not fit.
    """
    edges = _checked(edges)
    kept = weight.numel() if packed is None else bitmask.count(packed, weight.numel())
    tensors = (weight,) if packed is None else (weight, packed)
    module = fast("statistics", *tensors)
    if module is None or weight.dtype not in _FAST:
        return weight_statistics_reference(weight, edges, packed)
    flat = weight.detach().contiguous().view(-1)
    mask = None if packed is None else packed.contiguous()
    zeros, sums, extremes, counts = module.weight_statistics(flat, edges, mask)
    return _found(flat.numel(), kept, zeros, sums, extremes, counts)


def weight_statistics_reference(
    weight: Tensor, edges: np.ndarray, packed: Tensor | None = None
) -> WeightStatistics:
    """`weight_statistics` pass by pass, in plain torch."""
    edges = _checked(edges)
    kept = weight.numel() if packed is None else bitmask.count(packed, weight.numel())
    masked = weight.detach() if packed is None else bitmask.apply_reference(weight, packed)
    values = masked.double().reshape(-1)
    others = values[values != 0]
    bounds = torch.from_numpy(edges).to(values.device)
    inside = others[(others >= edges[0]) & (others <= edges[-1])]
    bins = torch.searchsorted(bounds, inside, right=True).clamp(max=len(edges) - 1) - 1
    sums = (float(values.sum()), float(values.abs().sum()), float(values.square().sum()))
    extremes = (float(others.min()), float(others.max())) if len(others) else (math.inf, -math.inf)
    counts = torch.bincount(bins, minlength=len(edges) - 1).cpu()
    return _found(len(values), kept, len(values) - len(others), sums, extremes, counts)


def _found(
    size: int,
    kept: int,
    zeros: int,
    sums: tuple[float, float, float],
    extremes: tuple[float, float],
    counts: Tensor,
) -> WeightStatistics:
    total, l1, squares = sums
    if math.isnan(l1):  # infinities of both signs make a sum NaN, but not that of magnitudes
        raise ValueError("a weight is NaN: weights without an order have no histogram")
    minimum, maximum = extremes if zeros < size else (0.0, 0.0)
    return WeightStatistics(
        size, kept, zeros, total, l1, math.sqrt(squares), minimum, maximum, counts
    )


def _checked(edges: np.ndarray) -> np.ndarray:
    """Edges as float64; the paths guess a bin and look at its neighbours, so they must be even."""
    edges = np.ascontiguousarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all():
        raise ValueError("a histogram has at least two edges, all of them finite")
    step = (edges[-1] - edges[0]) / (len(edges) - 1)
    even = np.linspace(edges[0], edges[-1], len(edges))
    if not (np.diff(edges) > 0).all() or not np.abs(edges - even).max() < step / 4:
        raise ValueError("the edges of a histogram increase, evenly spaced")
    return edges
