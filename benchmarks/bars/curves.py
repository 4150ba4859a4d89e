"""A slider's move on stored curves against finding threshold and counts in the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.bars.bar import Bar
from benchmarks.bars.selection import layers
from benchmarks.bars.timing import median_ms
from kernels.curves import score_curves

_COUNT = 25_000_000
_MOVE_MS = 30.0
"""What still feels immediate while a slider is dragged."""


def _recomputed(weights: list[Tensor], k: int) -> list[int]:
    """Counts of every layer from the weights."""
    value = torch.cat([weight.abs() for weight in weights]).kthvalue(k).values
    return [int((weight.abs() <= value).sum()) for weight in weights]


def rows() -> list[Bar]:
    """Bars of `kernels.curves`."""
    weights, k = layers(_COUNT), round(0.8 * _COUNT)
    curves = score_curves(weights, magnitude=True)
    move = median_ms(lambda: curves.counts(k), 50)
    again = median_ms(lambda: _recomputed(weights, k), 3)
    build = median_ms(lambda: score_curves(weights, magnitude=True))
    what = "a threshold moved: new counts of 50 layers, 25 M float32"
    return [
        Bar(
            what,
            "30 ms, a slider that follows",
            move,
            _MOVE_MS,
            1,
            note=f"built in {build:.0f} ms",
        ),
        Bar(what, "torch.kthvalue and counting", move, again, 100),
    ]
