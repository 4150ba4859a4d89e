"""Counts by bucket on a CUDA device, by atomic additions of integers: any order, one result.

Zeros are added up within a program first: in a pruned network they would all queue for one count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.cuda.keys import keys, parts_of, sizes
from kernels.select import NAN_REFUSED

_BLOCK = 4096
_BUCKETS = tl.constexpr(1 << 16)


def histograms(scores: Sequence[Tensor], magnitude: bool) -> np.ndarray:
    """int64 (layers, 2^16): how many scores of each layer lie in each bucket."""
    if not scores:
        return np.zeros((0, 1 << 16), np.int64)
    parts = parts_of(scores, magnitude)
    shape = (len(scores), (1 << 16) + 1)
    counts = torch.zeros(shape, dtype=torch.int64, device=scores[0].device)
    for part, own in zip(parts.bits, counts, strict=True):
        if part.numel():
            _count[(triton.cdiv(part.numel(), _BLOCK),)](
                part,
                part.numel(),
                own,
                magnitude=magnitude,
                infinity=parts.infinity,
                shift=16 if part.dtype == torch.int32 else 0,
                block=_BLOCK,
                enable_fp_fusion=False,
            )
    found = counts.cpu().numpy()
    if found[:, -1].any():
        raise ValueError(NAN_REFUSED)
    return found[:, :-1]


@triton.jit(do_not_specialize=["size"])  # type: ignore[untyped-decorator]
def _count(  # type: ignore[no-untyped-def]
    bits,
    size,
    counts,
    magnitude: tl.constexpr,
    infinity: tl.constexpr,
    shift: tl.constexpr,
    block: tl.constexpr,
):
    """Add to the counts of the buckets; NaN are counted behind them."""
    places = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    valid = places < size
    loaded = tl.load(bits + places, mask=valid, other=0)
    key = keys(loaded, magnitude)
    middle = _BUCKETS // 2
    bucket = tl.where(sizes(loaded) > infinity, _BUCKETS, (key >> shift) + middle)
    zero = valid & (key == 0)
    tl.atomic_add(counts + bucket, tl.full([block], 1, tl.int64), mask=valid & (key != 0))
    tl.atomic_add(counts + middle, tl.sum(zero.to(tl.int64), 0))
