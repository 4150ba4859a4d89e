"""Woodbury updates in numba: a block goes through all gradients while it is in the cache."""

from __future__ import annotations

import numpy as np
from numba import prange
from torch import Tensor

from kernels.cpu.jit import parallel


def woodbury(inverse: Tensor, gradients: Tensor, total: int) -> None:
    """`kernels.fisher.woodbury`."""
    if gradients.numel():
        _all(inverse.numpy(), gradients.numpy(), inverse.numpy().dtype.type(total))


@parallel
def _all(inverse: np.ndarray, gradients: np.ndarray, total: np.floating) -> None:
    """Every pass over a block subtracts the last u uᵀ and multiplies with the next gradient."""
    block = inverse.shape[1]
    count, length = gradients.shape
    zero = total * 0  # of the type of the blocks
    for b in prange(len(inverse)):
        width = min(block, length - b * block)
        square = inverse[b]
        u, v = np.zeros(width, inverse.dtype), np.empty(width, inverse.dtype)
        for k in range(count + 1):
            # The last pass only subtracts: its product, with the last gradient again, is not used.
            g = gradients[min(k, count - 1), b * block : b * block + width]
            v[:] = 0
            for j in range(width):
                past, present, row = u[j], g[j], square[j]
                for i in range(width):
                    value = row[i] - past * u[i]
                    row[i] = value
                    v[i] += present * value
            curvature = zero
            for i in range(width):
                curvature += g[i] * v[i]
            root = np.sqrt(total + max(curvature, zero))
            for i in range(width):
                u[i] = v[i] / root
