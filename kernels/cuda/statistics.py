"""Statistics of masked weights in Triton: a fixed number of programs, each with sums of its own.

Nothing is added atomically, so the sums of one device are the same every time.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
"""Weights that a program looks at in one step."""
_PROGRAMS = 1024

_Found = tuple[int, tuple[float, float, float], tuple[float, float], Tensor]


def weight_statistics(flat: Tensor, edges: np.ndarray, packed: Tensor | None) -> _Found:
    """Zeros; sum, L1, sum of squares; least and largest that is not 0; counts."""
    device, bins = flat.device, len(edges) - 1
    blocks = triton.cdiv(flat.numel(), _BLOCK)
    programs = max(1, min(_PROGRAMS, blocks))
    places = triton.next_power_of_2(max(bins + 1, 32))  # one at least for what is in no bin
    moments = torch.empty(programs, 5, dtype=torch.float64, device=device)
    zeros = torch.empty(programs, dtype=torch.int64, device=device)
    counts = torch.empty(programs, places, dtype=torch.int64, device=device)
    _strided[(programs,)](
        flat,
        flat if packed is None else packed,
        torch.from_numpy(edges).to(device),
        moments,
        zeros,
        counts,
        flat.numel(),
        triton.cdiv(blocks, programs),
        bins,
        kind=tl.float64 if flat.dtype == torch.float64 else tl.float32,
        masked=packed is not None,
        places=places,
        block=_BLOCK,
        enable_fp_fusion=False,
    )
    total, l1, squares = moments[:, :3].sum(dim=0).tolist()
    extremes = (float(moments[:, 3].min()), float(moments[:, 4].max()))
    return int(zeros.sum()), (total, l1, squares), extremes, counts.sum(dim=0)[:bins].cpu()


@triton.jit  # type: ignore[untyped-decorator]
def _strided(  # type: ignore[no-untyped-def]
    flat,
    packed,
    edges,
    moments,
    zeros,
    counts,
    size,
    steps,
    bins,
    kind: tl.constexpr,
    masked: tl.constexpr,
    places: tl.constexpr,
    block: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    programs = tl.num_programs(0)
    low, high = tl.load(edges), tl.load(edges + bins)
    total = tl.zeros((block,), dtype=tl.float64)
    l1 = tl.zeros((block,), dtype=tl.float64)
    squares = tl.zeros((block,), dtype=tl.float64)
    least = tl.full((block,), float("inf"), dtype=tl.float64)
    largest = tl.full((block,), float("-inf"), dtype=tl.float64)
    none = tl.zeros((block,), dtype=tl.int64)
    histogram = tl.zeros((places,), dtype=tl.int64)
    for step in range(steps):
        place = (program + step * programs) * block + tl.arange(0, block)
        there = place < size
        # bfloat16 by way of float32, as there is no direct way
        value = tl.load(flat + place, mask=there, other=0.0).to(kind).to(tl.float64)
        if masked:
            byte = tl.load(packed + place // 8, mask=there, other=0).to(tl.int32)
            value = tl.where((byte >> (place % 8).to(tl.int32)) & 1 == 1, value, 0.0)
        total += value
        l1 += tl.abs(value)
        squares += value * value
        other = value != 0.0
        none += (there & (value == 0.0)).to(tl.int64)
        least = tl.minimum(least, tl.where(other, value, float("inf")))
        largest = tl.maximum(largest, tl.where(other, value, float("-inf")))
        guess = tl.minimum(tl.maximum((value - low) / (high - low) * bins, 0.0), bins - 1.0)
        inside = other & (value >= low) & (value <= high)
        bin_ = tl.where(inside, guess, 0.0).to(tl.int32)
        after = value >= tl.load(edges + bin_ + 1)
        before = value < tl.load(edges + bin_)
        bin_ = tl.minimum(bin_ + after.to(tl.int32) - before.to(tl.int32), bins - 1)
        histogram += tl.histogram(tl.where(inside, bin_, bins), places).to(tl.int64)
    tl.store(moments + program * 5, tl.sum(total, axis=0))
    tl.store(moments + program * 5 + 1, tl.sum(l1, axis=0))
    tl.store(moments + program * 5 + 2, tl.sum(squares, axis=0))
    tl.store(moments + program * 5 + 3, tl.min(least, axis=0))
    tl.store(moments + program * 5 + 4, tl.max(largest, axis=0))
    tl.store(zeros + program, tl.sum(none, axis=0))
    tl.store(counts + program * places + tl.arange(0, places), histogram)
