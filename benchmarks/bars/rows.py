"""Row-wise selection, as Wanda's, against its reference code's way of doing it."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.bars.bar import Bar
from benchmarks.bars.timing import median_ms
from kernels.rows import k_smallest_rows

_SHAPE = (4096, 11008)


def _sorted(scores: Tensor) -> Tensor:
    """`locuslab/wanda`, lib/prune.py: a stable sort of every row, its first half scattered."""
    mask = torch.zeros_like(scores) == 1
    order = torch.sort(scores, dim=-1, stable=True)[1]
    return mask.scatter_(1, order[:, : scores.shape[1] // 2], True)


def rows() -> list[Bar]:
    """Bars of `kernels.rows`."""
    scores = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0)).abs_()
    counts = [_SHAPE[1] // 2] * _SHAPE[0]
    ours = median_ms(lambda: k_smallest_rows(scores, counts))
    theirs = median_ms(lambda: _sorted(scores), 3)
    what = f"half of every row, {_SHAPE[0]} × {_SHAPE[1]} float32"
    return [Bar(what, "torch.sort(stable=True) and scatter", ours, theirs, 25)]
