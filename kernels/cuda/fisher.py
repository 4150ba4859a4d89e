"""Woodbury updates in Triton: a program holds one block and goes through all gradients."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


def woodbury(inverse: Tensor, gradients: Tensor, total: int) -> None:
    """`kernels.fisher.woodbury`; blocks of up to 128, or registers run out."""
    blocks, block = inverse.shape[:2]
    tile = triton.next_power_of_2(block)
    if gradients.numel():
        _all[(blocks,)](
            inverse,
            gradients,
            block,
            *gradients.shape,
            total,
            tile=tile,
            num_warps=8 if tile > 64 else 4,
            enable_fp_fusion=False,
        )


@triton.jit  # type: ignore[untyped-decorator]
def _all(  # type: ignore[no-untyped-def]
    inverse,
    gradients,
    block,
    count,
    length,
    total,
    tile: tl.constexpr,
):
    which = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, tile)
    column = which * block + place
    there = (place < block) & (column < length)
    square = inverse + which * block * block + place[:, None] * block + place[None, :]
    inside = (place[:, None] < block) & (place[None, :] < block)
    values = tl.load(square, mask=inside, other=0.0)
    line = gradients + column
    for _ in range(count):
        g = tl.load(line, mask=there, other=0.0)
        v = tl.sum(values * g[None, :], axis=1)
        curvature = tl.sum(g * v, axis=0)
        u = v / tl.sqrt(total + tl.maximum(curvature, 0.0))
        values -= u[:, None] * u[None, :]
        line += length
    tl.store(square, values, mask=inside)
