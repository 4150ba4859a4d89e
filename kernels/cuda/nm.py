"""N:M selection in Triton: a program ranks a block of groups, each lane one group.

The entries of a group are loaded once for every entry they are compared with. All but the first
of these loads meet the cache, so that memory is still read once, and no lane has to exchange
anything with another.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256
"""Groups of one program."""


def nm_keep(values: Tensor, n: int, m: int) -> tuple[Tensor, bool]:
    """Keep-mask of (outer, size, inner) values, undecided in a trailing rest; whether a NaN is."""
    outer, size, inner = values.shape
    keep = torch.empty(values.shape, dtype=torch.bool, device=values.device)
    total = outer * (size // m) * inner
    nan = torch.zeros(1, dtype=torch.int32, device=values.device)
    if total:
        grid = (triton.cdiv(total, _BLOCK),)
        marks = keep.view(torch.uint8)
        kind = tl.float64 if values.dtype == torch.float64 else tl.float32
        _groups[grid](
            values,
            marks,
            nan,
            total,
            size,
            inner,
            n=n,
            m=m,
            kind=kind,
            block=_BLOCK,
            enable_fp_fusion=False,
        )
    return keep, bool(nan.item())


@triton.jit  # type: ignore[untyped-decorator]
def _groups(  # type: ignore[no-untyped-def]
    values,
    marks,
    nan,
    total,
    size,
    inner,
    n: tl.constexpr,
    m: tl.constexpr,
    kind: tl.constexpr,
    block: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    there = group < total
    within = size // m
    outer = group // (inner * within)
    start = (outer * size + group // inner % within * m) * inner + group % inner
    unordered = tl.zeros((block,), dtype=tl.int32)
    for j in range(m):
        own = tl.load(values + start + j * inner, mask=there, other=0.0).to(kind)
        unordered |= (own != own).to(tl.int32)
        rank = tl.zeros((block,), dtype=tl.int32)
        for i in range(m):
            other = tl.load(values + start + i * inner, mask=there, other=0.0).to(kind)
            before = (other < own) | ((other == own) & (i < j))
            rank += before.to(tl.int32)
        tl.store(marks + start + j * inner, (rank >= m - n).to(tl.uint8), mask=there)
    tl.atomic_or(nan, tl.max(unordered, axis=0))
