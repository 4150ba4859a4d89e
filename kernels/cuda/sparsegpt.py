"""SparseGPT's loop over the columns of a block in Triton: a program for every few rows.

A program holds its rows of the block in registers and goes through the columns once. Rows do not
see each other: programs share nothing that is written, and their order changes no result.
Nothing is fused and divisions are rounded, so errors and masks are those of plain torch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 2048
"""Weights a program holds: 16 rows of 128 columns."""


def columns(work: Tensor, start: int, triangle: Tensor, gone: Tensor) -> Tensor:
    """`kernels.sparsegpt.columns`."""
    return _run(work, start, triangle, gone, (0, triangle.shape[0]))


def columns_nm(work: Tensor, start: int, triangle: Tensor, gone: Tensor, n: int, m: int) -> Tensor:
    """`kernels.sparsegpt.columns_nm`."""
    return _run(work, start, triangle, gone, (m - n, m))


def _run(
    work: Tensor, start: int, triangle: Tensor, gone: Tensor, pattern: tuple[int, int]
) -> Tensor:
    errors = torch.zeros(gone.shape, dtype=work.dtype, device=work.device)
    rows, width = gone.shape
    tile = triton.next_power_of_2(width)
    together = max(1, _TILE // tile)
    if errors.numel():
        _rows[(triton.cdiv(rows, together),)](
            work,
            triangle,
            gone.view(torch.uint8),
            errors,
            rows,
            width,
            work.stride(0),
            start,
            *pattern,
            together=together,
            tile=tile,
            choose=pattern[0] > 0,
            enable_fp_fusion=False,
        )
    return errors


@triton.jit
def _exact_quotient(a, b):  # type: ignore[no-untyped-def]
    """a / b rounded to nearest; float32's own division is approximate on a GPU."""
    if a.dtype == tl.float32:
        return tl.div_rn(a, b)
    return a / b


@triton.jit
def _lowest(scores, goes, column, first, last, count):  # type: ignore[no-untyped-def]
    """`goes` with the `count` lowest of the columns first .. last - 1 of every row."""
    member = (column >= first) & (column < last)
    for a in range(first, last):
        score = tl.sum(tl.where(column == a, scores, 0.0), axis=1)[:, None]
        before = (scores < score) | ((scores == score) & (column < a))
        rank = tl.sum((member & before).to(tl.int32), axis=1)[:, None]
        goes = tl.where((column == a) & (rank < count), 1, goes)
    return goes


@triton.jit  # type: ignore[untyped-decorator]
def _rows(  # type: ignore[no-untyped-def]
    work,
    triangle,
    gone,
    errors,
    rows,
    width,
    stride,
    start,
    count,
    m,
    together: tl.constexpr,
    tile: tl.constexpr,
    choose: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * together + tl.arange(0, together)[:, None]
    column = tl.arange(0, tile)[None, :]
    inside = (row < rows) & (column < width)
    values = tl.load(work + row * stride + start + column, mask=inside, other=0.0)
    goes = tl.load(gone + row * width + column, mask=inside, other=0).to(tl.int32)
    diagonal = tl.load(triangle + column * (width + 1), mask=column < width, other=1.0)
    found = tl.zeros_like(values)
    for first in range(0, width, m):
        last = tl.minimum(first + m, width)
        if choose:  # noqa: SIM102 - decided when the kernel is compiled
            if first + m <= width:
                scores = tl.where(goes != 0, -1.0, _exact_quotient(tl.abs(values), diagonal))
                goes = _lowest(scores, goes, column, first, last, count)
        for i in range(first, last):
            here = (column == i) & (goes != 0)
            later = (column > i) & (column < width)
            upper = tl.load(triangle + i * width + column, mask=later, other=0.0)
            pivot = tl.load(triangle + i * width + i)
            error = _exact_quotient(tl.sum(tl.where(here, values, 0.0), axis=1)[:, None], pivot)
            values = tl.where(here, 0.0, values - error * upper)
            found = tl.where(here, error, found)
    tl.store(work + row * stride + start + column, values, mask=inside)
    tl.store(errors + row * width + column, found, mask=inside)
    if choose:
        tl.store(gone + row * width + column, goes.to(tl.uint8), mask=inside)
