"""Row-wise selection on a CUDA device: a program a row, its k-th key found bit by bit.

Each bit costs one count over the row, which after the first lies in the cache of its processor.
A program writes its own row only, in column order.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.cuda.keys import keys, parts_of, sizes
from kernels.select import NAN_REFUSED

_LARGEST_BLOCK = 4096


def k_smallest_rows(scores: Tensor, counts: np.ndarray) -> Tensor:
    """`kernels.cpu.rows.k_smallest_rows` for a CUDA tensor."""
    rows, columns = scores.shape
    parts = parts_of([scores], magnitude=False)
    chosen = torch.empty(scores.shape, dtype=torch.bool, device=scores.device)
    nans = torch.empty(rows, dtype=torch.int32, device=scores.device)
    _row[(rows,)](
        parts.bits[0],
        columns,
        torch.from_numpy(counts).to(scores.device),
        chosen.view(torch.uint8),
        nans,
        infinity=parts.infinity,
        width=8 * scores.element_size(),
        block=min(_LARGEST_BLOCK, triton.next_power_of_2(columns)),
        enable_fp_fusion=False,
    )
    if bool(nans.any()):
        raise ValueError(NAN_REFUSED)
    return chosen


@triton.jit  # type: ignore[untyped-decorator]
def _row(  # type: ignore[no-untyped-def]
    bits,
    columns,
    counts,
    chosen,
    nans,
    infinity: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
):
    """Choose the counts[row] smallest of a row; ties by column."""
    row = tl.program_id(0).to(tl.int64)
    rank = tl.load(counts + row)
    start = row * columns
    bad = tl.zeros([block], tl.int32)
    for first in range(0, columns, block):
        places = first + tl.arange(0, block)
        loaded = tl.load(bits + start + places, mask=places < columns, other=0)
        bad += (sizes(loaded) > infinity).to(tl.int32)
    tl.store(nans + row, tl.sum(bad, 0))
    # The largest limit with fewer than `rank` keys below it is the key of that rank.
    limit = tl.full([], -(1 << (width - 1)), tl.int64)
    below = tl.full([], 0, tl.int64)
    for step in range(width):
        higher = limit + (tl.full([], 1, tl.int64) << (width - 1 - step))
        less = tl.zeros([block], tl.int32)
        for first in range(0, columns, block):
            places = first + tl.arange(0, block)
            valid = places < columns
            key = keys(tl.load(bits + start + places, mask=valid, other=0), False)
            less += (valid & (key < higher.to(tl.int32))).to(tl.int32)
        number = tl.sum(less, 0).to(tl.int64)
        taken = number < rank
        limit = tl.where(taken, higher, limit)
        below = tl.where(taken, number, below)
    left = rank - below
    for first in range(0, columns, block):
        places = first + tl.arange(0, block)
        valid = places < columns
        key = keys(tl.load(bits + start + places, mask=valid, other=0), False)
        equal = (valid & (key == limit.to(tl.int32))).to(tl.int32)
        goes = (key < limit.to(tl.int32)) | ((equal > 0) & (tl.cumsum(equal, 0) <= left))
        tl.store(chosen + start + places, goes.to(tl.uint8), mask=valid)
        left -= tl.sum(equal, 0)
